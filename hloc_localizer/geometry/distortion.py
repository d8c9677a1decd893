"""Lens distortion on the plane z = 1: apply, differentiate and undo, for every camera model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal['none', 'radial', 'brown', 'fisheye', 'fov', 'thin_prism_fisheye']

_COMPLEX_STEP = 1e-30
_UNDO_ITERATIONS = 30
_UNDO_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Distortion:
    """
    One distortion with its coefficients.

    Formulas: OpenCV documentation (calib3d, fisheye) for ``brown`` and ``fisheye``; Devernay and
    Faugeras, "Straight lines have to be straight" (2001), for ``fov``; COLMAP documentation for
    ``thin_prism_fisheye``.
    """

    function: Callable[[NDArray[Any], NDArray[Any], Array], tuple[NDArray[Any], NDArray[Any]]] | None
    coefficients: Array

    @staticmethod
    def of(kind: Kind, coefficients: Array) -> Distortion:
        """Choose the function; one whose coefficients are all zero and mean nothing is dropped."""
        identity = kind in ('none', 'radial', 'brown') and not np.any(coefficients)
        return Distortion(None if identity else _FUNCTIONS[kind], coefficients)

    def apply(self, plane: Array) -> Array:
        """Distort coordinates (N, 2)."""
        if self.function is None:
            return plane
        return np.stack(self.function(plane[:, 0], plane[:, 1], self.coefficients), axis=1)

    def apply_with_jacobian(self, plane: Array) -> tuple[Array, Array]:
        """
        Distort coordinates (N, 2) and return their derivatives (N, 2, 2).

        Complex-step differentiation (Squire and Trapp, "Using complex variables to estimate
        derivatives of real functions", 1998): exact to the last digits, and one formula a model.
        """
        if self.function is None:
            return plane, np.broadcast_to(np.eye(2), (len(plane), 2, 2))
        x, y = plane[:, 0], plane[:, 1]
        by_x = self.function(x + 1j * _COMPLEX_STEP, y.astype(complex), self.coefficients)
        by_y = self.function(x.astype(complex), y + 1j * _COMPLEX_STEP, self.coefficients)
        jacobian = np.empty((len(plane), 2, 2))
        for row in range(2):
            jacobian[:, row, 0] = by_x[row].imag / _COMPLEX_STEP
            jacobian[:, row, 1] = by_y[row].imag / _COMPLEX_STEP
        return np.stack([by_x[0].real, by_x[1].real], axis=1), jacobian

    def undo(self, distorted: Array) -> Array:
        """Find the coordinates (N, 2) that distort to these, by Newton's method; NaN where none."""
        if self.function is None:
            return distorted
        plane = self._first_guess(distorted)
        for _ in range(_UNDO_ITERATIONS):
            value, jacobian = self.apply_with_jacobian(plane)
            residual = value - distorted
            if not np.any(np.abs(residual) > _UNDO_TOLERANCE):
                break
            plane = plane - _solve_2x2(jacobian, residual)
        with np.errstate(invalid='ignore'):
            failed = np.any(~(np.abs(self.apply(plane) - distorted) < 1e-6), axis=1)
        plane[failed] = np.nan
        return plane

    def _first_guess(self, distorted: Array) -> Array:
        if self.function not in (_fisheye, _thin_prism_fisheye, _fov):
            return distorted.copy()
        # On the image a fisheye's radius is an angle: its tangent is the radius on the plane.
        radius = np.linalg.norm(distorted, axis=1, keepdims=True)
        omega = self.coefficients[0] if self.function is _fov else 0.0
        angle = radius * omega if omega else radius
        spread = np.tan(np.minimum(angle, 1.5)) / (2.0 * np.tan(omega / 2.0) if omega else 1.0)
        return np.asarray(distorted * (spread / np.maximum(radius, 1e-12)))


def _solve_2x2(matrix: Array, vector: Array) -> Array:
    determinant = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    with np.errstate(divide='ignore', invalid='ignore'):
        x = (matrix[:, 1, 1] * vector[:, 0] - matrix[:, 0, 1] * vector[:, 1]) / determinant
        y = (matrix[:, 0, 0] * vector[:, 1] - matrix[:, 1, 0] * vector[:, 0]) / determinant
    return np.stack([x, y], axis=1)


def _radial(x: Any, y: Any, coefficients: Array) -> tuple[Any, Any]:
    k1, k2 = (*coefficients, 0.0)[:2]
    r2 = x * x + y * y
    scale = 1.0 + r2 * (k1 + r2 * k2)
    return x * scale, y * scale


def _brown(x: Any, y: Any, coefficients: Array) -> tuple[Any, Any]:
    k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(coefficients, (0, 8 - len(coefficients)))
    r2 = x * x + y * y
    scale = (1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1.0 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    dx = 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
    dy = p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
    return x * scale + dx, y * scale + dy


def _angle_over_radius(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the angle off the axis and its ratio to the radius on the plane (1 at the centre)."""
    radius = np.sqrt(x * x + y * y + 1e-24)
    angle = np.arctan(radius)
    return angle, angle / radius


def _fisheye(x: Any, y: Any, coefficients: Array) -> tuple[Any, Any]:
    k1, k2, k3, k4 = np.pad(coefficients, (0, 4 - len(coefficients)))
    angle, ratio = _angle_over_radius(x, y)
    t2 = angle * angle
    scale = ratio * (1.0 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    return x * scale, y * scale


def _thin_prism_fisheye(x: Any, y: Any, coefficients: Array) -> tuple[Any, Any]:
    k1, k2, p1, p2, k3, k4, sx1, sy1 = coefficients
    _, ratio = _angle_over_radius(x, y)
    u, v = x * ratio, y * ratio
    r2 = u * u + v * v
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
    du = 2.0 * p1 * u * v + p2 * (r2 + 2.0 * u * u) + sx1 * r2
    dv = 2.0 * p2 * u * v + p1 * (r2 + 2.0 * v * v) + sy1 * r2
    return u * radial + du, v * radial + dv


def _fov(x: Any, y: Any, coefficients: Array) -> tuple[Any, Any]:
    omega = coefficients[0]
    if abs(omega) < 1e-9:
        return x, y
    radius = np.sqrt(x * x + y * y + 1e-24)
    scale = np.arctan(radius * 2.0 * np.tan(omega / 2.0)) / (radius * omega)
    return x * scale, y * scale


_FUNCTIONS = {
    'none': _radial,
    'radial': _radial,
    'brown': _brown,
    'fisheye': _fisheye,
    'fov': _fov,
    'thin_prism_fisheye': _thin_prism_fisheye,
}
