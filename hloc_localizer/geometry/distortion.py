"""Lens distortion on the plane z = 1: apply, differentiate and undo, for every camera model."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Any, Any, Array], 'tuple[Any, Any]']
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

    function: Function | None
    coefficients: Array

    @staticmethod
    def of(kind: Kind, coefficients: Array) -> Distortion:
        """Choose the function; one whose coefficients are all zero and mean nothing is dropped."""
        identity = kind in ('none', 'radial', 'brown') and not np.any(coefficients)
        return Distortion(None if identity else _FUNCTIONS[kind], coefficients)

    def apply(self, plane: Array) -> Array:
        """
        Distort coordinates (N, 2); what is too far off the axis gives NaN or inf.

        Beyond the fold a model puts points back into the image that no camera would see there.
        """
        if self.function is None:
            return plane
        with np.errstate(all='ignore'):
            distorted = np.stack(self.function(plane[:, 0], plane[:, 1], self.coefficients), axis=1)
            distorted[self._folded(plane)] = np.nan
        return distorted

    def _folded(self, plane: Array) -> NDArray[np.bool_]:
        """Tell which coordinates (N, 2) are beyond the fold."""
        return np.asarray(np.einsum('ij,ij->i', plane, plane) > self.fold**2)

    @functools.cached_property
    def fold(self) -> float:
        """
        The radius on the plane from which on the distorted one decreases; infinite without.

        Of the radial terms: tangential and prism terms are small beside them.
        """
        if self.function is None or self.function is _fov:
            return math.inf
        with np.errstate(all='ignore'):
            if self.function is _fisheye:
                return _radius_of_angle(_first_turn(_of_angle(self.coefficients).deriv()))
            if self.function is _thin_prism_fisheye:
                radial = self.coefficients[[0, 1, 4, 5]]
                return _radius_of_angle(_first_turn(_of_angle(radial).deriv()))
            return _fold(self.coefficients, self.function)

    def apply_with_jacobian(self, plane: Array) -> tuple[Array, Array]:
        """
        Distort coordinates (N, 2) and return their derivatives (N, 2, 2), NaN beyond the fold.

        Complex-step differentiation (Squire and Trapp, "Using complex variables to estimate
        derivatives of real functions", 1998): exact to the last digits, and one formula a model.
        """
        if self.function is None:
            return plane, np.broadcast_to(np.eye(2), (len(plane), 2, 2))
        with np.errstate(all='ignore'):
            distorted, jacobian = _jacobian(self.function, plane, self.coefficients)
            folded = self._folded(plane)
            distorted[folded] = jacobian[folded] = np.nan
        return distorted, jacobian

    def undo(self, distorted: Array) -> Array:
        """
        Find the coordinates (N, 2) that distort to these; NaN where there are none.

        The solution is the one that continues from the image centre: a pixel beyond the fold of a
        distortion, or of a ray 90 degrees or more off the axis, has none.
        """
        if self.function is None:
            return distorted
        with np.errstate(all='ignore'):
            if self.function is _fisheye:
                return _undo_fisheye(distorted, self.coefficients)
            if self.function is _fov:
                return _undo_fov(distorted, self.coefficients)
            if self.function is _thin_prism_fisheye:
                angles = _newton(distorted, _thin_prism, self.coefficients)
                return _plane_of_angles(angles, np.linalg.norm(angles, axis=1))
            return _newton(distorted, self.function, self.coefficients, self.fold)


def _jacobian(function: Function, plane: Array, coefficients: Array) -> tuple[Array, Array]:
    x, y = plane[:, 0], plane[:, 1]
    by_x = function(x + 1j * _COMPLEX_STEP, y.astype(complex), coefficients)
    by_y = function(x.astype(complex), y + 1j * _COMPLEX_STEP, coefficients)
    jacobian = np.empty((len(plane), 2, 2))
    for row in range(2):
        jacobian[:, row, 0] = by_x[row].imag / _COMPLEX_STEP
        jacobian[:, row, 1] = by_y[row].imag / _COMPLEX_STEP
    return np.stack([by_x[0].real, by_x[1].real], axis=1), jacobian


def _newton(
    distorted: Array, function: Function, coefficients: Array, fold: float = np.inf
) -> Array:
    """Solve ``function(plane) = distorted`` (N, 2) for radii up to the fold; NaN where it fails."""
    radius = np.linalg.norm(distorted, axis=1, keepdims=True)
    plane = distorted * np.minimum(1.0, 0.9 * fold / np.maximum(radius, 1e-12))
    for _ in range(_UNDO_ITERATIONS):
        value, jacobian = _jacobian(function, plane, coefficients)
        residual = value - distorted
        if not np.any(np.abs(residual) > _UNDO_TOLERANCE):
            break
        plane = plane - _solve_2x2(jacobian, residual)
    value, jacobian = _jacobian(function, plane, coefficients)
    solved = np.all(np.abs(value - distorted) < 1e-6, axis=1)
    # Past the fold the mapping turns the image inside out.
    upright = (np.linalg.det(jacobian) > 0.0) & (np.trace(jacobian, axis1=1, axis2=2) > 0.0)
    inside = np.linalg.norm(plane, axis=1) <= fold
    plane[~(solved & upright & inside)] = np.nan
    return np.asarray(plane)


def _fold(coefficients: Array, function: Function) -> float:
    """Return the radius where ``radius * scale(radius^2)`` of a radial model first turns back."""
    numerator = np.polynomial.Polynomial([1.0, *coefficients[:2]])
    denominator = np.polynomial.Polynomial([1.0])
    if function is _brown:
        padded = np.pad(coefficients, (0, 8 - len(coefficients)))
        numerator = np.polynomial.Polynomial([1.0, padded[0], padded[1], padded[4]])
        denominator = np.polynomial.Polynomial([1.0, *padded[5:]])
    square = np.polynomial.Polynomial([0.0, 2.0])
    growth = (numerator + square * numerator.deriv()) * denominator
    growth = growth - square * numerator * denominator.deriv()
    return math.sqrt(min([math.inf, *_positive_roots(growth), *_positive_roots(denominator)]))


_TINY = 1e-12


def _positive_roots(polynomial: np.polynomial.Polynomial) -> list[float]:
    # Tinier coefficients have no say in any image, and divided by they overflow.
    roots = np.asarray(polynomial.trim(_TINY).roots(), np.complex128)
    return [float(root.real) for root in roots if abs(root.imag) < 1e-9 and root.real > 0.0]


def _undo_fisheye(distorted: Array, coefficients: Array) -> Array:
    """Solve ``angle + k1 angle^3 + ... = radius`` by Newton's method kept inside a bracket."""
    radius = np.linalg.norm(distorted, axis=1)
    polynomial = _of_angle(coefficients)
    derivative = polynomial.deriv()
    limit = _first_turn(derivative)
    low, high = np.zeros_like(radius), np.full_like(radius, limit)
    angle = np.minimum(radius, limit)
    for _ in range(_UNDO_ITERATIONS):
        residual = polynomial(angle) - radius
        if not np.any(np.abs(residual) > _UNDO_TOLERANCE):
            break
        low, high = np.where(residual < 0.0, angle, low), np.where(residual > 0.0, angle, high)
        angle = angle - residual / derivative(angle)
        angle = np.where((angle > low) & (angle < high), angle, 0.5 * (low + high))
    angle[~(np.abs(polynomial(angle) - radius) < 1e-6)] = np.nan
    return _plane_of_angles(distorted * (angle / np.maximum(radius, 1e-12))[:, None], angle)


def _of_angle(coefficients: Array) -> np.polynomial.Polynomial:
    """Return ``angle + k1 angle^3 + ...``."""
    odd = np.zeros(2 * len(coefficients) + 2)
    odd[1::2] = [1.0, *coefficients]
    return np.polynomial.Polynomial(odd)


def _radius_of_angle(angle: float) -> float:
    return math.tan(angle) if angle < 0.5 * np.pi else math.inf


def _first_turn(derivative: np.polynomial.Polynomial) -> float:
    """Return the angle in (0, pi/2] up to which a polynomial of this derivative grows."""
    return min([0.5 * np.pi, *_positive_roots(derivative)])


def _plane_of_angles(angles: Array, angle: Array) -> Array:
    """Turn angles off the axis along x and y (N, 2), of length (N,), into points of the plane."""
    scale = np.where(angle < 1e-8, 1.0, np.tan(angle) / np.maximum(angle, 1e-12))
    scale[~(angle < 0.5 * np.pi - 1e-7)] = np.nan
    return np.asarray(angles * scale[:, None])


def _undo_fov(distorted: Array, coefficients: Array) -> Array:
    omega = coefficients[0]
    if abs(omega) < 1e-9:
        return distorted
    radius = np.linalg.norm(distorted, axis=1)
    angle = radius * omega
    scale = np.tan(angle) / (2.0 * np.tan(0.5 * omega) * np.maximum(radius, 1e-12))
    scale[radius < 1e-12] = omega / (2.0 * np.tan(0.5 * omega))
    scale[~(np.abs(angle) < 0.5 * np.pi - 1e-7)] = np.nan
    return np.asarray(distorted * scale[:, None])


def _solve_2x2(matrix: Array, vector: Array) -> Array:
    determinant = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
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
    _, ratio = _angle_over_radius(x, y)
    return _thin_prism(x * ratio, y * ratio, coefficients)


def _thin_prism(u: Any, v: Any, coefficients: Array) -> tuple[Any, Any]:
    """Distort angles off the axis along x and y."""
    k1, k2, p1, p2, k3, k4, sx1, sy1 = coefficients
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
