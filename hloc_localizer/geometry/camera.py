"""Cameras: all models of ROS and COLMAP behind one interface, pixel centres at (0, 0)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import distortion

Array = NDArray[np.float64]

COLMAP_MODELS: dict[str, tuple[int, int, distortion.Kind]] = {
    # model: (focal lengths, distortion coefficients, kind of distortion)
    'SIMPLE_PINHOLE': (1, 0, 'none'),
    'PINHOLE': (2, 0, 'none'),
    'SIMPLE_RADIAL': (1, 1, 'radial'),
    'RADIAL': (1, 2, 'radial'),
    'OPENCV': (2, 4, 'brown'),
    'FULL_OPENCV': (2, 8, 'brown'),
    'OPENCV_FISHEYE': (2, 4, 'fisheye'),
    'SIMPLE_RADIAL_FISHEYE': (1, 1, 'fisheye'),
    'RADIAL_FISHEYE': (1, 2, 'fisheye'),
    'SIMPLE_FISHEYE': (1, 0, 'fisheye'),
    'FISHEYE': (2, 0, 'fisheye'),
    'FOV': (2, 1, 'fov'),
    'THIN_PRISM_FISHEYE': (2, 8, 'thin_prism_fisheye'),
}
"""Camera models by COLMAP's names (COLMAP documentation, "Camera Models")."""

ROS_MODELS: dict[str, tuple[str, int, int]] = {
    # distortion_model: (COLMAP model, shortest and longest list of coefficients)
    'plumb_bob': ('FULL_OPENCV', 4, 5),
    'rational_polynomial': ('FULL_OPENCV', 8, 14),
    'equidistant': ('OPENCV_FISHEYE', 4, 4),
    'fisheye': ('OPENCV_FISHEYE', 4, 4),
}
"""Distortion models of ``sensor_msgs/CameraInfo`` (sensor_msgs/distortion_models.hpp)."""


MAX_SIDE = 32768
MAX_PIXELS = 128_000_000
"""Larger images are refused before memory is taken for them."""

_LARGEST_PARAMETER = 1e9
"""Far beyond any camera, and far below where powers of it overflow."""


@dataclass(frozen=True)
class Camera:
    """
    An intrinsic calibration.

    Pixels are (u, v) with (0, 0) at the centre of the first pixel, as in OpenCV and ROS. COLMAP
    puts (0.5, 0.5) there: :meth:`from_colmap` and :meth:`colmap_params` are that border.
    """

    model: str
    """A key of :data:`COLMAP_MODELS`."""
    width: int
    height: int
    params: tuple[float, ...]
    """Focal length(s), principal point, distortion coefficients, in COLMAP's order, in pixels."""
    _focal: Array = field(init=False, repr=False, compare=False)
    _centre: Array = field(init=False, repr=False, compare=False)
    _distortion: distortion.Distortion = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.model not in COLMAP_MODELS:
            known = ', '.join(COLMAP_MODELS)
            raise InputError(f"camera model '{self.model}' is not known; known: {known}")
        focals, coefficients, kind = COLMAP_MODELS[self.model]
        if len(self.params) != focals + 2 + coefficients:
            raise InputError(
                f'camera model {self.model} takes {focals + 2 + coefficients} parameters, '
                f'got {len(self.params)}'
            )
        if not all(math.isfinite(value) for value in self.params):
            raise InputError(f'camera intrinsics are not finite: {list(self.params)}')
        if any(abs(value) > _LARGEST_PARAMETER for value in self.params):
            raise InputError(f'camera intrinsics are absurdly large: {list(self.params)}')
        if any(focal <= 0.0 for focal in self.params[:focals]):
            raise InputError(f'camera focal length is not positive: {list(self.params[:focals])}')
        if self.width <= 0 or self.height <= 0:
            raise InputError(f'camera image size {self.width}x{self.height} is not positive')
        if max(self.width, self.height) > MAX_SIDE or self.width * self.height > MAX_PIXELS:
            raise InputError(
                f'camera image size {self.width}x{self.height} is more than {MAX_PIXELS} pixels'
                f', or {MAX_SIDE} on a side'
            )
        params = np.asarray(self.params, np.float64)
        object.__setattr__(self, '_focal', np.broadcast_to(params[:focals], (2,)).copy())
        object.__setattr__(self, '_centre', params[focals : focals + 2])
        tail = params[focals + 2 :]
        object.__setattr__(self, '_distortion', distortion.Distortion.of(kind, tail))

    @staticmethod
    def from_ros(
        width: int,
        height: int,
        k: Sequence[float],
        distortion_model: str,
        d: Sequence[float],
    ) -> Camera:
        """
        Make a camera of the fields of a ``sensor_msgs/CameraInfo`` (raw image, ``K`` and ``D``).

        :param k: 9 values, row-major; a calibrated camera has ``k[0] > 0``.
        :param distortion_model: ``plumb_bob``, ``rational_polynomial``, ``equidistant``, or
            empty when ``d`` is empty or zero.
        :raises InputError: for a model that is not known or values that make no camera.
        """
        k = [float(value) for value in k]
        coefficients = [float(value) for value in d]
        if len(k) != 9 or not all(math.isfinite(value) for value in (*k, *coefficients)):
            raise InputError('camera_info: K or D is missing or not finite; calibrate the camera')
        if k[0] <= 0.0 or k[4] <= 0.0:
            raise InputError('camera_info: focal length is zero; calibrate the camera')
        pinhole = (k[0], k[4], k[2], k[5])
        if not any(coefficients):
            return Camera('PINHOLE', width, height, pinhole)
        if distortion_model not in ROS_MODELS:
            known = ', '.join(ROS_MODELS)
            raise InputError(
                f"camera_info: distortion model '{distortion_model}' is not known; known: {known}"
            )
        model, shortest, longest = ROS_MODELS[distortion_model]
        if not shortest <= len(coefficients) <= longest:
            raise InputError(
                f'camera_info: {distortion_model} takes {shortest} to {longest} coefficients, '
                f'got {len(coefficients)}'
            )
        if any(coefficients[8:]):
            raise InputError('camera_info: thin-prism and tilt coefficients are not supported')
        size = COLMAP_MODELS[model][1]
        padded = (coefficients + [0.0] * size)[:size]
        if model == 'FULL_OPENCV' and not any(padded[4:]):
            model, padded = 'OPENCV', padded[:4]
        return Camera(model, width, height, (*pinhole, *padded))

    @staticmethod
    def from_colmap(model: str, width: int, height: int, params: Sequence[float]) -> Camera:
        """Make a camera of COLMAP's parameters (pixel centres at (0.5, 0.5))."""
        focals = COLMAP_MODELS[model][0] if model in COLMAP_MODELS else 0
        values = [float(value) for value in params]
        values[focals : focals + 2] = [value - 0.5 for value in values[focals : focals + 2]]
        return Camera(model, int(width), int(height), tuple(values))

    def colmap_params(self) -> list[float]:
        """Return the parameters as COLMAP writes them (pixel centres at (0.5, 0.5))."""
        focals = COLMAP_MODELS[self.model][0]
        values = list(self.params)
        values[focals : focals + 2] = [value + 0.5 for value in values[focals : focals + 2]]
        return values

    @property
    def focal_px(self) -> float:
        """The mean focal length in pixels."""
        return float(self._focal.mean())

    @property
    def matrix(self) -> Array:
        """The (3, 3) pinhole matrix K, without the distortion."""
        (fx, fy), (cx, cy) = self._focal, self._centre
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    def scaled(self, width: int, height: int) -> Camera:
        """Return this camera for the same image resized to another size."""
        sx, sy = width / self.width, height / self.height
        focals = COLMAP_MODELS[self.model][0]
        if focals == 1 and not math.isclose(sx, sy, rel_tol=0.01):
            raise InputError(f'camera model {self.model} cannot be scaled by {sx:.3f} x {sy:.3f}')
        scale = [sx] if focals == 1 else [sx, sy]
        focal = [value * s for value, s in zip(self.params, scale, strict=False)]
        centre = [
            (value + 0.5) * s - 0.5
            for value, s in zip(self.params[focals : focals + 2], (sx, sy), strict=True)
        ]
        return Camera(self.model, width, height, (*focal, *centre, *self.params[focals + 2 :]))

    def is_close_to(self, other: Camera) -> bool:
        """Tell whether another calibration is the same but for rounding."""
        return (
            (self.model, self.image_size) == (other.model, other.image_size)
            and len(self.params) == len(other.params)
            and np.allclose(self.params, other.params, rtol=1e-4, atol=1e-4)
        )

    def normalise(self, pixels: ArrayLike) -> Array:
        """
        Undo the calibration: pixels (N, 2) to coordinates (N, 2) on the plane z = 1.

        A pixel the model cannot reach (a ray 90 degrees or more off the axis) gives NaN.
        """
        pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
        return self._distortion.undo((pixels - self._centre) / self._focal)

    def rays(self, pixels: ArrayLike) -> Array:
        """Return unit viewing rays (N, 3) in the optical frame."""
        plane = self.normalise(pixels)
        rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
        return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))

    def project(self, points: ArrayLike) -> Array:
        """
        Project points (N, 3) of the optical frame to pixels (N, 2).

        NaN behind the camera, and beyond the fold of the distortion: no camera sees these.
        """
        plane = _plane(np.asarray(points, np.float64))
        return np.asarray(self._distortion.apply(plane) * self._focal + self._centre)

    def project_with_jacobian(self, points: ArrayLike) -> tuple[Array, Array]:
        """
        Project points and differentiate.

        :param points: (N, 3) in the optical frame.
        :returns: pixels (N, 2) and their derivatives (N, 2, 3) with respect to the points.
        """
        points = np.asarray(points, np.float64)
        plane = _plane(points)
        distorted, by_plane = self._distortion.apply_with_jacobian(plane)
        by_point = np.zeros((len(points), 2, 3))
        with np.errstate(divide='ignore', invalid='ignore'):
            inverse_depth = 1.0 / points[:, 2]
        by_point[:, 0, 0] = by_point[:, 1, 1] = inverse_depth
        by_point[:, :, 2] = -plane * inverse_depth[:, None]
        pixels = distorted * self._focal + self._centre
        return np.asarray(pixels), np.asarray(self._focal[:, None] * (by_plane @ by_point))

    def contains(self, pixels: ArrayLike, border: float = 0.0) -> NDArray[np.bool_]:
        """Tell which pixels (N, 2) lie inside the image, a border in pixels left off."""
        pixels = np.asarray(pixels, np.float64)
        limit = np.array([self.width - 1, self.height - 1]) - border
        with np.errstate(invalid='ignore'):
            return np.asarray(np.all((pixels >= border) & (pixels <= limit), axis=-1))


def _plane(points: Array) -> Array:
    with np.errstate(divide='ignore', invalid='ignore'):
        plane = points[:, :2] / points[:, 2:]
    plane[~(points[:, 2] > 1e-9)] = np.nan
    return np.asarray(plane)
