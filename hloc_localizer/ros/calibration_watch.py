"""Says when the calibration of a live camera looks wrong, or how it is mounted beside another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.calibration_check import FocalEstimate, calibration_difference
from hloc_localizer.localization.mounting_check import MountingEstimate
from hloc_localizer.localization.result import Localization
from hloc_localizer.ros.frame_result import CameraView, FrameResult

_PERIOD_S = 0.5
"""An image in this time is enough: a calibration does not change."""

_MIN_IMAGES = 8
_MAX_IMAGES = 200
_TOLERANCE = 0.04
_SIGMAS = 4.0


class CalibrationWatch:
    """Compares each new calibration with the map's, and with what localized images show."""

    def __init__(
        self,
        map_cameras: Sequence[Camera],
        *,
        several: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Begin without a camera.

        :param several: whether there is more than one, so that they have to be named.
        """
        self._map_cameras = map_cameras
        self._several = several
        self._clock = clock
        self._cameras: dict[str, _WatchedCamera] = {}
        self._mountings: dict[tuple[str, str], MountingEstimate] = {}
        self._mountings_due = 0.0

    def take(self, result: FrameResult) -> str:
        """
        Look at the images of a moment.

        What several cameras give together is no measure of one of them: what does not fit the
        others is left out there. Each is judged by what its image gave by itself.

        :returns: one line on what looks wrong with calibrations; empty when nothing does.
        """
        now = self._clock()
        for view in result.views:
            self._watched(view).take(view.alone, now)
        if now >= self._mountings_due:
            self._compare_mountings(result.views, now)
        return self.doubt(result)

    def doubt(self, result: FrameResult) -> str:
        """Return the same line without learning from the images, which takes its time."""
        for view in result.views:
            self._watched(view)
        lines = [(name, watched.text()) for name, watched in sorted(self._cameras.items())]
        lines += [(name, self._mounting_text(one, name)) for one, name in sorted(self._mountings)]
        return '; '.join(
            f'{name}: {line}' if self._several else line for name, line in lines if line
        )

    def _watched(self, view: CameraView) -> _WatchedCamera:
        """Return what is known of the calibration of an image, anew if it has changed."""
        name, camera = view.mounted.name, view.mounted.camera
        watched = self._cameras.get(name)
        if watched is None or watched.camera != camera:
            watched = self._cameras[name] = _WatchedCamera(camera, self._map_cameras)
            self._mountings.clear()  # a better calibration changes what is seen of them
        return watched

    def _compare_mountings(self, views: Sequence[CameraView], now: float) -> None:
        """Compare where the images of a moment, each alone, put the cameras."""
        alone = [
            (view.mounted, view.alone.map_from_camera)
            for view in views
            if view.alone is not None and view.alone.map_from_camera is not None
        ]
        for other, map_from_other in alone[1:]:
            one, map_from_one = alone[0]
            one_from_other = transforms.invert(one.body_from_camera) @ other.body_from_camera
            estimate = self._mountings.setdefault((one.name, other.name), MountingEstimate())
            estimate.add(one_from_other, map_from_one, map_from_other)
            self._mountings_due = now + _PERIOD_S

    def _mounting_text(self, one: str, other: str) -> str:
        off = self._mountings[one, other].off()
        if off is None:
            return ''
        return (
            f'{self._mountings[one, other].moments} moments put it {off[0]:.2f} m and '
            f'{off[1]:.1f} deg off where TF has it beside {one}: check how both are mounted, and '
            'their calibrations'
        )


class _WatchedCamera:
    """What is known of one calibration."""

    def __init__(self, camera: Camera, map_cameras: Sequence[Camera]) -> None:
        self.camera = camera
        self._estimate = FocalEstimate()
        self._difference = calibration_difference(camera, map_cameras)
        self._due = 0.0

    def take(self, found: Localization | None, now: float) -> None:
        """Learn from an image, if it was localized."""
        due = now >= self._due and self._estimate.images < _MAX_IMAGES
        if not due or found is None or found.map_from_camera is None:
            return
        self._due = now + _PERIOD_S
        mask = found.inlier_mask
        self._estimate.add(
            self.camera, found.map_from_camera, found.keypoints[mask], found.points[mask]
        )

    def text(self) -> str:
        """Return one line on what looks wrong; empty when nothing does."""
        lines = [self._difference] if self._difference else []
        estimate, focal_px = self._estimate, self.camera.focal_px
        off = abs(estimate.factor - 1.0)
        sure = estimate.images >= _MIN_IMAGES and off > _SIGMAS * estimate.sigma
        if sure and off > _TOLERANCE:
            lines.append(
                f'{estimate.images} localized images fit a focal length of '
                f'{focal_px * estimate.factor:.1f} px, not the {focal_px:.1f} px of '
                'camera_info: calibrate the camera'
            )
        return '; '.join(lines)
