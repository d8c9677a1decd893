"""A frame: one image with its stamp, its camera and what is known of where it was taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources.rig import Rig


@dataclass(frozen=True)
class Frame:
    """One image of a recording."""

    name: str
    """Unique within its source, safe as a file name: ``camera/1700000000000000000.jpg``."""
    stamp_ns: int
    """Capture time in nanoseconds."""
    image: NDArray[np.uint8]
    """(H, W) grey or (H, W, 3) RGB."""
    camera_name: str
    """Key of its camera in :attr:`Source.cameras`; the camera's tf frame where there is one."""
    map_from_camera: NDArray[np.float64] | None = None
    """(4, 4) pose of the optical frame in the map frame, where the recording knows it."""
    odom_from_camera: NDArray[np.float64] | None = None
    """(4, 4) pose of the optical frame in the (drifting) odometry frame, where it is known."""
    depth_m: NDArray[np.float32] | None = None
    """(H, W) depth along the optical axis in metres, registered to the image; NaN where unknown."""
    up_in_camera: NDArray[np.float64] | None = None
    """
    (3,) unit vector against gravity in the optical frame, from an IMU. Walking leaves a few degrees
    of error in it: average over many frames.
    """
    session: str = ''
    """The recording it is from, where several are read as one; odometry drifts apart in them."""


class Source(Protocol):
    """A recording that can be read from the start, more than once."""

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras by name."""
        ...

    @property
    def intrinsics(self) -> Mapping[str, str]:
        """
        Where the calibration of each camera is from: a value of :mod:`.intrinsics`.

        One that was estimated, or read from EXIF, is a first guess that building has to refine.
        """
        ...

    @property
    def calibration_problem(self) -> str:
        """Why some camera's calibration is only estimated, with the remedy; empty otherwise."""
        ...

    @property
    def rigs(self) -> Sequence[Rig]:
        """Cameras that are mounted together, where the recording says how."""
        ...

    @property
    def rig_problem(self) -> str:
        """Why it is not known how several cameras are mounted, with the remedy; else empty."""
        ...

    @property
    def description(self) -> Mapping[str, str]:
        """Provenance for the map's manifest: path, topics, frames."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """
        The files and folders that it is read from, by which it is known again.

        Empty for a source that is in no file: a build of it cannot be resumed.
        """
        ...

    @property
    def pose_problem(self) -> str:
        """Why no frame has ``map_from_camera``, with the remedy; empty where poses are known."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the last pass over the frames left out and why, a line each."""
        ...

    def __len__(self) -> int:
        """Return how many images there are (an upper bound where it is not known)."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in the order of their stamps."""
        ...
