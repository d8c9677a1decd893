"""Cameras of a robot, made of the frames of one that has a single camera."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import Frame, Source

BASE_FROM_CAMERA = transforms.transform_from(
    transforms.rotation_from_quaternion([0.5, -0.5, 0.5, -0.5]), [0.1, 0.0, 0.3]
)
FRONT, SIDE = 'camera', 'side_camera'
_CUT = 0.75
"""Share of the width that each of two cameras sees; half would put the principal point outside."""


@dataclass(frozen=True)
class View:
    """What a camera of the robot sees."""

    name: str
    """Of its TF frame."""
    image: NDArray[np.uint8]
    camera: Camera
    base_from_camera: NDArray[np.float64]
    frame: Frame
    """Where it was taken."""


Rig = Callable[[Sequence[Frame], int, Source], list[View]]
"""Makes of some frames that follow each other closely what the cameras see at one of them."""


def one_camera(frames: Sequence[Frame], number: int, source: Source) -> list[View]:
    """Return the frame as it is."""
    frame = frames[number]
    camera = source.cameras[frame.camera_name]
    return [View(FRONT, frame.image, camera, BASE_FROM_CAMERA, frame)]


def two_cuts(frames: Sequence[Frame], number: int, source: Source) -> list[View]:
    """Return the left and the right three quarters of a frame, as of two cameras in one place."""
    (whole,) = one_camera(frames, number, source)
    width = round(whole.camera.width * _CUT)
    views = []
    for name, begin in ((FRONT, 0), (SIDE, whole.camera.width - width)):
        params = list(whole.camera.params)
        params[2] -= begin
        camera = dataclasses.replace(whole.camera, width=width, params=tuple(params))
        image = np.ascontiguousarray(whole.image[:, begin : begin + width])
        views.append(dataclasses.replace(whole, name=name, image=image, camera=camera))
    return views


def two_times(frames: Sequence[Frame], number: int, source: Source) -> list[View]:
    """Return a frame and one beside it, as if mounted where odometry says that it was taken."""
    (front,) = one_camera(frames, number, source)
    other = frames[number - 1 if number else 1]
    assert front.frame.odom_from_camera is not None
    assert other.odom_from_camera is not None
    moved = transforms.invert(front.frame.odom_from_camera) @ other.odom_from_camera
    side = View(SIDE, other.image, front.camera, BASE_FROM_CAMERA @ moved, other)
    return [front, side]


TWO_CAMERAS: tuple[Rig, ...] = (two_cuts, two_times)
