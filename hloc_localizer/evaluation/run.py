"""Localize every frame of a recording, each alone or as a stream, and time it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.evaluation.metrics import EvaluatedFrame, Evaluation
from hloc_localizer.evaluation.references import References
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.result import Localization
from hloc_localizer.localization.tracking import MountedImage, TrackedFrame, TrackingLocalizer
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources.frame import Frame, Source

if TYPE_CHECKING:
    from hloc_localizer.localization import Localizer
    from hloc_localizer.sources.rig import Rig

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LocalizedFrame:
    """A frame and its result."""

    frame: Frame
    localization: Localization
    latency_ms: float
    """From the decoded image to the result."""
    tracked: TrackedFrame | None = None
    """What the tracker knows, of a frame that was localized as part of a stream."""


def localize_frames(
    localizer: Localizer,
    source: Source,
    progress: Progress | None = None,
    *,
    wanted: Callable[[Frame], bool] = lambda frame: True,
) -> Iterator[LocalizedFrame]:
    """
    Localize the frames of a source one by one, without any prior.

    :param wanted: tells which frames.
    """
    progress = progress or SilentProgress()
    cameras = source.cameras
    localizer.warm_up()
    progress.stage('localize', len(source))
    for frame in source.frames():
        if wanted(frame):
            begin = time.perf_counter()
            localization = localizer.localize(frame.image, cameras[frame.camera_name])
            yield LocalizedFrame(frame, localization, (time.perf_counter() - begin) * 1e3)
        progress.advance()
    for note in source.notes:
        progress.note(note)


def track_frames(
    localizer: TrackingLocalizer, source: Source, progress: Progress | None = None
) -> Iterator[LocalizedFrame]:
    """
    Localize the frames of a source as one stream, with the odometry that it has.

    What several cameras saw at one time is solved together.

    :raises InputError: for several cameras whose mounting is not known.
    """
    progress = progress or SilentProgress()
    cameras, rig = source.cameras, _rig(source)
    mountings = {name: np.eye(4) if rig is None else rig.rig_from_camera[name] for name in cameras}
    localizer.warm_up()
    progress.stage('track', len(source))
    tolerance_ns = round(localizer.options.moment_tolerance_s * 1e9)
    count = unaided = 0
    for frames in moments(source.frames(), tolerance_ns):
        yield from _tracked(localizer, frames, cameras, mountings)
        count += len(frames)
        unaided += sum(frame.odom_from_camera is None for frame in frames)
        progress.advance(len(frames))
    for note in source.notes:
        progress.note(note)
    if unaided:
        progress.note(
            f'{unaided} of {count} images have no odometry, and were tracked without; a bag may '
            'have it in TF (source.odom_frame, source.base_frame) or on source.odom_topic'
        )


def moments(frames: Iterable[Frame], tolerance_ns: int) -> Iterator[list[Frame]]:
    """Gather the frames that different cameras took at nearly the same time."""
    gathered: list[Frame] = []
    for frame in frames:
        together = gathered and frame.stamp_ns - gathered[0].stamp_ns <= tolerance_ns
        if not together or frame.camera_name in {one.camera_name for one in gathered}:
            if gathered:
                yield gathered
            gathered = []
        gathered.append(frame)
    if gathered:
        yield gathered


def _tracked(
    localizer: TrackingLocalizer,
    frames: Sequence[Frame],
    cameras: Mapping[str, Camera],
    mountings: Mapping[str, Array],
) -> Iterator[LocalizedFrame]:
    """Localize the frames of one moment together; each gets the pose of its own camera."""
    first = frames[0]
    odom_from_body = _odom_from_body(first, mountings)
    images = []
    for frame in frames:
        mounting, moved = mountings[frame.camera_name], _odom_from_body(frame, mountings)
        if odom_from_body is not None and moved is not None:
            # The body moves between the stamps of one moment.
            mounting = transforms.invert(odom_from_body) @ moved @ mounting
        camera = cameras[frame.camera_name]
        images.append(MountedImage(frame.image, camera, mounting, frame.camera_name))
    begin = time.perf_counter()
    tracked = localizer.localize_moment(images, first.stamp_ns, odom_from_body=odom_from_body)
    latency_ms = (time.perf_counter() - begin) * 1e3
    for frame, image in zip(frames, images, strict=True):
        own = tracked.seen_from(image.body_from_camera)
        yield LocalizedFrame(frame, own.localization, latency_ms, own)


def _odom_from_body(frame: Frame, mountings: Mapping[str, Array]) -> Array | None:
    if frame.odom_from_camera is None:
        return None
    return frame.odom_from_camera @ transforms.invert(mountings[frame.camera_name])


def _rig(source: Source) -> Rig | None:
    if len(source.cameras) < 2:
        return None
    for rig in source.rigs:
        if set(rig.cameras) >= set(source.cameras):
            return rig
    raise InputError(source.rig_problem or 'it is not known how the cameras are mounted together')


def evaluate_source(
    localizer: Localizer | TrackingLocalizer,
    source: Source,
    references: References,
    map_bytes: int,
    progress: Progress | None = None,
) -> Evaluation:
    """
    Localize and judge every frame that has a reference pose.

    :param map_bytes: size of what the localizer reads.
    :raises InputError: when no frame has one.
    """
    left_out: list[int] = []

    def has_reference(frame: Frame) -> bool:
        if references.find(frame) is None:
            left_out.append(frame.stamp_ns)
            return False
        return True

    localized: Iterator[LocalizedFrame]
    if isinstance(localizer, TrackingLocalizer):
        # Frames without a reference are part of the stream too.
        stream = track_frames(localizer, source, progress)
        localized = (one for one in stream if has_reference(one.frame))
    else:
        localized = localize_frames(localizer, source, progress, wanted=has_reference)
    frames = [_evaluated(one, references) for one in localized]
    if not frames:
        raise references.nothing_matched(left_out)
    if progress is not None and left_out:
        progress.note(f'{len(left_out)} frames have no reference pose and are left out')
    return Evaluation.of(frames, map_bytes)


def _evaluated(one: LocalizedFrame, references: References) -> EvaluatedFrame:
    reference = references.find(one.frame)
    assert reference is not None
    return EvaluatedFrame(
        name=one.frame.name,
        stamp_ns=one.frame.stamp_ns,
        localization=one.localization,
        reference=reference,
        latency_ms=one.latency_ms,
        state=one.tracked.state.value if one.tracked is not None else '',
    )
