"""Whether a camera's calibration is right: against the map's cameras, and by what it sees."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.absolute_pose import reprojection_jacobian, reprojection_residuals
from hloc_localizer.geometry.camera import COLMAP_MODELS, Camera

Array = NDArray[np.float64]

_FOCAL_TOLERANCE = 0.03
_RAY_TOLERANCE_DEG = 1.0
_ASPECT_TOLERANCE = 0.01
_EDGE = 0.2
_SHORTEST, _LONGEST = 0.05, 100.0
"""Focal lengths as shares of the longer side: beyond the widest fisheye, and a telescope."""
_SEEING = 0.5
"""Share of the pixels that must see something; the corners of a fisheye's image do not."""
_GRID = 9
_MIN_MATCHES = 12
_ITERATIONS = 4
_HUBER_PX = 2.0
_LARGEST_STEP = 0.3


def calibration_difference(camera: Camera, map_cameras: Iterable[Camera]) -> str:
    """
    Compare a live calibration with those of the cameras that a map was made with.

    Cameras of another shape of image are other cameras, of which nothing can be said.

    :returns: one line on how it differs from the nearest of them; empty when it agrees with one,
        or none has images of this shape.
    """
    alike = [_resized(other, camera) for other in map_cameras if _same_shape(other, camera)]
    if not alike:
        return ''
    nearest = min(alike, key=lambda other: abs(math.log(camera.focal_px / other.focal_px)))
    ratio = camera.focal_px / nearest.focal_px
    if abs(ratio - 1.0) > _FOCAL_TOLERANCE:
        return (
            f'focal length {camera.focal_px:.1f} px is {abs(ratio - 1.0) * 100:.1f} % '
            f"{'more' if ratio > 1.0 else 'less'} than the {nearest.focal_px:.1f} px of the map's "
            'camera: if it is the same camera, one of the two calibrations is wrong'
        )
    degrees = min(_largest_ray_angle_deg(camera, other) for other in alike)
    if degrees > _RAY_TOLERANCE_DEG:
        return (
            f"distortion or principal point differ from the map's camera: viewing rays by up to "
            f'{degrees:.1f} deg; if it is the same camera, one of the two calibrations is wrong'
        )
    return ''


def implausible(camera: Camera) -> str:
    """
    Tell what no calibration of a whole image has.

    A focal length that is none, a principal point at the edge of the image or beyond, a distortion
    by which most of its pixels see nothing. A localizer might find a pose with it all the same,
    turned by as much as the calibration is off.

    :returns: one line; empty for a calibration that may be right.
    """
    f_u, f_v = camera.matrix[0, 0], camera.matrix[1, 1]
    side = max(camera.width, camera.height)
    if not (_SHORTEST * side <= camera.focal_px <= _LONGEST * side and 0.2 <= f_u / f_v <= 5.0):
        return f'focal lengths {f_u:g} and {f_v:g} for {_size(camera)}; calibrate the camera'
    u, v = camera.matrix[:2, 2]
    across, down = u / (camera.width - 1 or 1), v / (camera.height - 1 or 1)
    if not all(_EDGE <= share <= 1.0 - _EDGE for share in (across, down)):
        return (
            f'the principal point ({u:.1f}, {v:.1f}) is not near the middle of {_size(camera)}; '
            'calibrate the camera'
        )
    if not np.mean(np.isfinite(camera.rays(_grid(camera))[:, 2])) >= _SEEING:
        return f'by its distortion most of {_size(camera)} see nothing; calibrate the camera'
    return ''


def _size(camera: Camera) -> str:
    return f'{camera.width}x{camera.height} pixels'


class FocalEstimate:
    """
    What localized images say about the focal length: a factor on it, with its standard deviation.

    For each image, pose and factor are solved for together, and the factor's share of information
    (the Schur complement of the pose) is kept. A wrong focal length can be made up for by a pose in
    front of a flat wall, but not in a scene with depth: the information says which it was.
    """

    def __init__(self) -> None:
        """Begin without images."""
        self.images = 0
        self._information = 0.0
        self._weighted = 0.0

    @property
    def factor(self) -> float:
        """The best focal length relative to that of the calibration."""
        return 1.0 if self._information == 0.0 else self._weighted / self._information

    @property
    def sigma(self) -> float:
        """Its standard deviation, as the residuals show it; infinite without images."""
        return math.inf if self._information == 0.0 else 1.0 / math.sqrt(self._information)

    def add(
        self,
        camera: Camera,
        map_from_camera: Array,
        keypoints: NDArray[np.floating],
        points: NDArray[np.floating],
    ) -> None:
        """
        Take over an image.

        :param map_from_camera: (4, 4) as found with this calibration.
        :param keypoints: (N, 2) pixels that agree with it.
        :param points: (N, 3) their points.
        """
        if len(points) < _MIN_MATCHES:
            return
        pixels, seen = np.asarray(keypoints, np.float64), np.asarray(points, np.float64)
        solved = _solve(camera, map_from_camera, pixels, seen)
        if solved is not None:
            self.images += 1
            self._weighted += solved[0] * solved[1]
            self._information += solved[1]


def _solve(
    camera: Camera, pose: Array, keypoints: Array, points: Array
) -> tuple[float, float] | None:
    """Return the factor on the focal length and its information; None when undetermined."""
    factor = 1.0
    information = 0.0
    for _ in range(_ITERATIONS):
        scaled = _with_focal(camera, factor)
        residuals = reprojection_residuals(scaled, pose, keypoints, points)
        good = np.all(np.isfinite(residuals), axis=1)
        if good.sum() < _MIN_MATCHES:
            return None
        residuals, seen = residuals[good], points[good]
        projected = scaled.project(transforms.apply(transforms.invert(pose), seen))
        by_factor = (projected - scaled.matrix[:2, 2])[:, :, None]
        jacobian = np.concatenate(
            [reprojection_jacobian(scaled, pose, seen), by_factor], axis=2
        ).reshape(-1, 7)
        errors = np.linalg.norm(residuals, axis=1)
        weights = np.repeat(_HUBER_PX / np.maximum(errors, _HUBER_PX), 2)
        normal = jacobian.T @ (weights[:, None] * jacobian)
        try:
            step = np.linalg.solve(normal, -jacobian.T @ (weights * residuals.reshape(-1)))
            of_pose = np.linalg.solve(normal[:6, :6], normal[:6, 6])
        except np.linalg.LinAlgError:
            return None
        variance = float(np.mean(weights * residuals.reshape(-1) ** 2))
        information = float(normal[6, 6] - normal[6, :6] @ of_pose) / max(variance, 1e-6)
        pose = _disturbed(pose, step[:6])
        factor *= 1.0 + float(np.clip(step[6], -_LARGEST_STEP, _LARGEST_STEP))
    if not (math.isfinite(factor) and math.isfinite(information) and information > 0.0):
        return None
    return factor, information


def _disturbed(pose: Array, step: Array) -> Array:
    return transforms.transform_from(
        transforms.rotation_from_rotvec(step[3:6]) @ pose[:3, :3], pose[:3, 3] + step[:3]
    )


def _with_focal(camera: Camera, factor: float) -> Camera:
    focals = COLMAP_MODELS[camera.model][0]
    params = [v * factor for v in camera.params[:focals]] + list(camera.params[focals:])
    return Camera(camera.model, camera.width, camera.height, tuple(params))


def _same_shape(a: Camera, b: Camera) -> bool:
    return math.isclose(a.width / a.height, b.width / b.height, rel_tol=_ASPECT_TOLERANCE)


def _resized(camera: Camera, like: Camera) -> Camera:
    return camera if camera.image_size == like.image_size else camera.scaled(*like.image_size)


def _largest_ray_angle_deg(a: Camera, b: Camera) -> float:
    pixels = _grid(a)
    cosines = np.sum(a.rays(pixels) * b.rays(pixels), axis=1)
    cosines = cosines[np.isfinite(cosines)]
    if len(cosines) == 0:
        return 180.0
    return float(np.degrees(np.arccos(np.clip(cosines.min(), -1.0, 1.0))))


def _grid(camera: Camera) -> Array:
    """Return pixels (81, 2) all over the image."""
    across = np.linspace(0, camera.width - 1, _GRID)
    down = np.linspace(0, camera.height - 1, _GRID)
    return np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
