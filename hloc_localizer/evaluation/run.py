"""Localize every frame of a recording, each alone or as a stream, and time it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hloc_localizer.errors import InputError
from hloc_localizer.evaluation.metrics import EvaluatedFrame, Evaluation
from hloc_localizer.evaluation.references import References
from hloc_localizer.geometry import transforms
from hloc_localizer.localization.result import Localization
from hloc_localizer.localization.tracking import TrackedFrame, TrackingLocalizer
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources.frame import Frame, Source

if TYPE_CHECKING:
    from hloc_localizer.localization import Localizer
    from hloc_localizer.sources.rig import Rig


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

    :raises InputError: for several cameras whose mounting is not known.
    """
    progress = progress or SilentProgress()
    cameras, rig = source.cameras, _rig(source)
    localizer.warm_up()
    progress.stage('track', len(source))
    for frame in source.frames():
        mounting = None if rig is None else rig.rig_from_camera[frame.camera_name]
        odom_from_body = frame.odom_from_camera
        if odom_from_body is not None and mounting is not None:
            odom_from_body = odom_from_body @ transforms.invert(mounting)
        begin = time.perf_counter()
        tracked = localizer.localize(
            frame.image,
            cameras[frame.camera_name],
            frame.stamp_ns,
            odom_from_body=odom_from_body,
            body_from_camera=mounting,
            camera_name=frame.camera_name,
        )
        latency_ms = (time.perf_counter() - begin) * 1e3
        yield LocalizedFrame(frame, tracked.localization, latency_ms, tracked)
        progress.advance()
    for note in source.notes:
        progress.note(note)


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
