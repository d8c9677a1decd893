"""Which frames of a recording become map images: by motion and by sharpness."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.mapping.image_motion import ImageMotion
from hloc_localizer.mapping.options import FrameSelectionOptions
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.rig import SIMULTANEOUS_NS

_WINDOW = 15
_PHOTOGRAPHS_NS = 1_000_000_000
"""Images so far apart were taken one by one: only those that show the same are left out."""
_PHOTOGRAPHS_SHARE = 1.0 / 3.0


def sharpness(image: NDArray[np.uint8]) -> float:
    """
    Return how much fine detail an image has, relative to its contrast.

    The variance of the Laplacian (Pech-Pacheco et al. 2000) over that of the image: a dim image is
    not taken for a blurred one.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = 320.0 / max(grey.shape)
    if scale < 1.0:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    detail = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    return detail / (float(grey.var()) + 25.0)


@dataclass(frozen=True)
class _Place:
    """Where a frame was taken, as far as it is known: its pose, else what its image shows."""

    stamp_ns: int
    pose: NDArray[np.float64] | None
    view: ImageMotion | None

    @classmethod
    def of(cls, frame: Frame, *, posed: bool) -> _Place:
        pose = frame.map_from_camera if posed else frame.odom_from_camera
        return cls(frame.stamp_ns, pose, None if pose is not None else ImageMotion(frame.image))


@dataclass
class _State:
    """The moments of one camera, or of one rig, that are still weighed against each other."""

    taken: list[Frame] = field(default_factory=list)
    """The frames of the moment that is not over yet."""
    anchors: dict[str, _Place] = field(default_factory=dict)
    """By camera."""
    best: list[Frame] = field(default_factory=list)
    best_sharpness: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def ends_with(self, frame: Frame) -> bool:
        """Tell whether a frame is of a later moment than those taken, or of another recording."""
        if not self.taken:
            return False
        first = self.taken[0]
        return (
            frame.session != first.session
            or frame.stamp_ns - first.stamp_ns > SIMULTANEOUS_NS
            or any(other.camera_name == frame.camera_name for other in self.taken)
        )


def select_frames(
    frames: Iterable[Frame],
    options: FrameSelectionOptions,
    *,
    posed: bool = True,
    together: Sequence[Collection[str]] = (),
) -> Iterator[Frame]:
    """
    Yield the sharpest frame of every stretch without much motion, each camera by itself.

    Frames far less sharp than the ones before are passed over.

    :param posed: whether motion is told by the poses in the map frame; frames without are passed
        over. Otherwise by those in the odometry frame, and by the images where there are none.
    :param together: names of cameras that are mounted together: their frames of one moment are
        chosen together.
    """
    rig_of = {name: number for number, names in enumerate(together) for name in names}
    states: dict[str | int, _State] = {}
    for frame in frames:
        if posed and frame.map_from_camera is None:
            continue
        state = states.setdefault(rig_of.get(frame.camera_name, frame.camera_name), _State())
        if state.ends_with(frame):
            yield from _take(state, options, posed)
        state.taken.append(frame)
        if frame.camera_name not in rig_of:  # its moment has no other frame: hold none back
            yield from _take(state, options, posed)
    for state in states.values():
        if state.taken:
            yield from _take(state, options, posed)
        yield from state.best


def _take(state: _State, options: FrameSelectionOptions, posed: bool) -> list[Frame]:
    """Take a moment into account; return the best of the stretch that it ends, if it ends one."""
    moment, state.taken = state.taken, []
    value = float(np.mean([sharpness(frame.image) for frame in moment]))
    state.recent.append(value)
    if value < options.min_relative_sharpness * float(np.median(state.recent)):
        return []
    known = [frame for frame in moment if frame.camera_name in state.anchors]
    if known and not any(
        _moved(state.anchors[frame.camera_name], frame, options, posed) for frame in known
    ):
        # A moment that a camera has missed is worth less, however sharp.
        if (len(moment), value) > (len(state.best), state.best_sharpness):
            state.best, state.best_sharpness = moment, value
        return []
    finished = state.best
    state.anchors = {frame.camera_name: _Place.of(frame, posed=posed) for frame in moment}
    state.best, state.best_sharpness = moment, value
    return finished


def _moved(before: _Place, now: Frame, options: FrameSelectionOptions, posed: bool) -> bool:
    pose = now.map_from_camera if posed else now.odom_from_camera
    if before.view is not None:
        if pose is not None:
            return True
        slow = now.stamp_ns - before.stamp_ns >= _PHOTOGRAPHS_NS
        least = options.min_image_motion * (_PHOTOGRAPHS_SHARE if slow else 1.0)
        return before.view.share_of_width(now.image) >= least
    if before.pose is None or pose is None:
        return True
    distance, angle = transforms.pose_distance(before.pose, pose)
    return bool(
        distance >= options.min_translation_m or np.degrees(angle) >= options.min_rotation_deg
    )
