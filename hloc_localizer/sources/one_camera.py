"""What a recording of one camera says of it; videos and folders of images have no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources.rig import Rig

CAMERA_NAME = 'camera'


class OneCamera:
    """The part of :class:`~hloc_localizer.sources.frame.Source` that is about the camera."""

    _camera: Camera
    _origin: str
    """Where its calibration is from."""
    _calibration_problem: str

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The one camera."""
        return {CAMERA_NAME: self._camera}

    @property
    def intrinsics(self) -> Mapping[str, str]:
        """Where the calibration is from."""
        return {CAMERA_NAME: self._origin}

    @property
    def calibration_problem(self) -> str:
        """Why the calibration is only estimated; empty otherwise."""
        return self._calibration_problem

    @property
    def rigs(self) -> Sequence[Rig]:
        """No rig: there is one camera."""
        return ()

    @property
    def rig_problem(self) -> str:
        """Empty: there is one camera."""
        return ''
