"""Says when the calibration of the live camera looks wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.calibration_check import FocalEstimate, calibration_difference
from hloc_localizer.ros.frame_result import FrameResult

_PERIOD_S = 0.5
"""An image in this time is enough: a calibration does not change."""

_MIN_IMAGES = 8
_MAX_IMAGES = 200
_TOLERANCE = 0.04
_SIGMAS = 4.0


class CalibrationWatch:
    """Compares each new calibration with the map's, and with what localized images show."""

    def __init__(
        self, map_cameras: Sequence[Camera], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin without a camera."""
        self._map_cameras = map_cameras
        self._clock = clock
        self._camera: Camera | None = None
        self._estimate = FocalEstimate()
        self._difference = ''
        self._due = 0.0

    def take(self, result: FrameResult) -> str:
        """
        Look at an image.

        :returns: one line on what looks wrong with its calibration; empty when nothing does.
        """
        camera = result.camera
        if camera is None:
            return self._text()
        if camera != self._camera:
            self._camera, self._estimate = camera, FocalEstimate()
            self._difference = calibration_difference(camera, self._map_cameras)
        now = self._clock()
        if now >= self._due and self._estimate.images < _MAX_IMAGES:
            self._add(camera, result, now)
        return self._text()

    def _add(self, camera: Camera, result: FrameResult, now: float) -> None:
        found = result.localization
        if found is None or found.map_from_camera is None:
            return
        self._due = now + _PERIOD_S
        mask = found.inlier_mask
        self._estimate.add(camera, found.map_from_camera, found.keypoints[mask], found.points[mask])

    def _text(self) -> str:
        lines = [self._difference] if self._difference else []
        estimate, camera = self._estimate, self._camera
        off = abs(estimate.factor - 1.0)
        sure = estimate.images >= _MIN_IMAGES and off > _SIGMAS * estimate.sigma
        if camera is not None and sure and off > _TOLERANCE:
            lines.append(
                f'{estimate.images} localized images fit a focal length of '
                f'{camera.focal_px * estimate.factor:.1f} px, not the {camera.focal_px:.1f} px of '
                'camera_info: calibrate the camera'
            )
        return '; '.join(lines)
