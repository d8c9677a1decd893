"""Localize every frame of a recording, each alone, and time it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hloc_localizer.evaluation.metrics import EvaluatedFrame, Evaluation
from hloc_localizer.evaluation.references import References
from hloc_localizer.localization.result import Localization
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources.frame import Frame, Source

if TYPE_CHECKING:
    from hloc_localizer.localization import Localizer


@dataclass(frozen=True)
class LocalizedFrame:
    """A frame and its result."""

    frame: Frame
    localization: Localization
    latency_ms: float
    """From the decoded image to the result."""


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


def evaluate_source(
    localizer: Localizer,
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

    frames = []
    for one in localize_frames(localizer, source, progress, wanted=has_reference):
        reference = references.find(one.frame)
        assert reference is not None
        frames.append(
            EvaluatedFrame(
                one.frame.name, one.frame.stamp_ns, one.localization, reference, one.latency_ms
            )
        )
    if not frames:
        raise references.nothing_matched(left_out)
    if progress is not None and left_out:
        progress.note(f'{len(left_out)} frames have no reference pose and are left out')
    return Evaluation.of(frames, map_bytes)
