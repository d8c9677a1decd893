"""Rigid transforms as 4x4 matrices named ``target_from_source``; rotations, quaternions, so(3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def transform_from(rotation: ArrayLike, translation: ArrayLike) -> Array:
    """
    Assemble a transform.

    :param rotation: (..., 3, 3) rotation matrix.
    :param translation: (..., 3) metres.
    :returns: (..., 4, 4).
    """
    rotation = np.asarray(rotation, np.float64)
    translation = np.asarray(translation, np.float64)
    transform = np.zeros((*np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1]), 4, 4))
    transform[..., :3, :3] = rotation
    transform[..., :3, 3] = translation
    transform[..., 3, 3] = 1.0
    return transform


def invert(transform: ArrayLike) -> Array:
    """Invert rigid transforms (..., 4, 4): ``source_from_target`` of ``target_from_source``."""
    transform = np.asarray(transform, np.float64)
    rotation = np.swapaxes(transform[..., :3, :3], -1, -2)
    translation = -(rotation @ transform[..., :3, 3:])[..., 0]
    return transform_from(rotation, translation)


def apply(transform: ArrayLike, points: ArrayLike) -> Array:
    """Map points (..., N, 3) by transforms (..., 4, 4)."""
    transform = np.asarray(transform, np.float64)
    points = np.asarray(points, np.float64)
    rotated = points @ np.swapaxes(transform[..., :3, :3], -1, -2)
    return np.asarray(rotated + transform[..., None, :3, 3])


def are_rigid(matrices: Array) -> bool:
    """Tell whether matrices (..., 4, 4) are all rigid transforms, but for what was rounded."""
    rotation = matrices[..., :3, :3]
    # Bounded first: the products of huge numbers would only warn of an overflow.
    return bool(np.all(np.abs(rotation) < 1.0 + _RIGID_TOLERANCE)) and bool(
        np.all(np.abs(rotation @ rotation.swapaxes(-1, -2) - np.eye(3)) < _RIGID_TOLERANCE)
        and np.all(np.linalg.det(rotation) > 0.0)
        and np.all(matrices[..., 3, :] == [0.0, 0.0, 0.0, 1.0])
        and np.all(np.isfinite(matrices))
    )


_RIGID_TOLERANCE = 1e-3


def hat(vectors: ArrayLike) -> Array:
    """Return the cross-product matrices (..., 3, 3) of vectors (..., 3)."""
    vectors = np.asarray(vectors, np.float64)
    matrix = np.zeros((*vectors.shape[:-1], 3, 3))
    x, y, z = np.moveaxis(vectors, -1, 0)
    matrix[..., 0, 1], matrix[..., 0, 2] = -z, y
    matrix[..., 1, 0], matrix[..., 1, 2] = z, -x
    matrix[..., 2, 0], matrix[..., 2, 1] = -y, x
    return matrix


def rotation_from_rotvec(rotvec: ArrayLike) -> Array:
    """Exponential map: rotation matrices (..., 3, 3) of rotation vectors (..., 3), radians."""
    rotvec = np.asarray(rotvec, np.float64)
    angle = np.linalg.norm(rotvec, axis=-1)[..., None, None]
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    sine = np.where(small, 1.0 - angle**2 / 6.0, np.sin(safe) / safe)
    cosine = np.where(small, 0.5 - angle**2 / 24.0, (1.0 - np.cos(safe)) / safe**2)
    skew = hat(rotvec)
    return np.asarray(np.eye(3) + sine * skew + cosine * (skew @ skew))


def rotvec_from_rotation(rotation: ArrayLike) -> Array:
    """Logarithm: rotation vectors (..., 3) with angle in [0, pi] of rotation matrices."""
    quaternion = quaternion_from_rotation(rotation)
    quaternion = np.where(quaternion[..., 3:] < 0.0, -quaternion, quaternion)
    sine = np.linalg.norm(quaternion[..., :3], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, quaternion[..., 3:])
    scale = np.where(sine < 1e-9, 2.0, angle / np.where(sine < 1e-9, 1.0, sine))
    return np.asarray(quaternion[..., :3] * scale)


def rotation_from_quaternion(quaternion: ArrayLike) -> Array:
    """
    Return rotation matrices of quaternions (..., 4) in xyzw order, normalised here.

    :raises ValueError: for a quaternion of (nearly) zero or not finite length.
    """
    xyzw = np.asarray(quaternion, np.float64)
    length = np.linalg.norm(xyzw, axis=-1, keepdims=True)
    if not np.all(np.isfinite(length)) or np.any(length < 1e-6):
        raise ValueError('quaternion has no direction')
    xyzw = xyzw / length
    scalar = xyzw[..., 3, None, None]
    skew = hat(xyzw[..., :3])
    return np.asarray(np.eye(3) + 2.0 * scalar * skew + 2.0 * (skew @ skew))


def quaternion_from_rotation(rotation: ArrayLike) -> Array:
    """
    Return unit quaternions (..., 4), xyzw, of rotation matrices (..., 3, 3).

    Shepperd's method: the largest of the four squared components is divided by, so that the
    result is accurate for every rotation.
    """
    r = np.asarray(rotation, np.float64)
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    candidates = np.stack(
        [
            _stack(1 + xx - yy - zz, r[..., 1, 0] + r[..., 0, 1],
                   r[..., 2, 0] + r[..., 0, 2], r[..., 2, 1] - r[..., 1, 2]),
            _stack(r[..., 1, 0] + r[..., 0, 1], 1 - xx + yy - zz,
                   r[..., 2, 1] + r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0]),
            _stack(r[..., 2, 0] + r[..., 0, 2], r[..., 2, 1] + r[..., 1, 2],
                   1 - xx - yy + zz, r[..., 1, 0] - r[..., 0, 1]),
            _stack(r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0],
                   r[..., 1, 0] - r[..., 0, 1], 1 + xx + yy + zz),
        ],
        axis=-2,
    )  # fmt: skip
    best = np.argmax(_stack(xx - yy - zz, yy - xx - zz, zz - xx - yy, xx + yy + zz), axis=-1)
    chosen = np.take_along_axis(candidates, best[..., None, None], axis=-2)[..., 0, :]
    return np.asarray(chosen / np.linalg.norm(chosen, axis=-1, keepdims=True))


def _stack(*components: Array) -> Array:
    return np.stack(np.broadcast_arrays(*components), axis=-1)


def rotation_angle(rotation: ArrayLike) -> Array:
    """Return the angles (...) in radians of rotation matrices (..., 3, 3)."""
    return np.asarray(np.linalg.norm(rotvec_from_rotation(rotation), axis=-1))


def interpolate(start: ArrayLike, end: ArrayLike, fraction: ArrayLike) -> Array:
    """
    Interpolate rigid transforms: translation linearly, rotation along the geodesic (slerp).

    :param start: (..., 4, 4) at fraction 0.
    :param end: (..., 4, 4) at fraction 1.
    :param fraction: (...).
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    fraction = np.asarray(fraction, np.float64)[..., None]
    relative = np.swapaxes(start[..., :3, :3], -1, -2) @ end[..., :3, :3]
    rotation = start[..., :3, :3] @ rotation_from_rotvec(rotvec_from_rotation(relative) * fraction)
    translation = start[..., :3, 3] * (1.0 - fraction) + end[..., :3, 3] * fraction
    return transform_from(rotation, translation)


def pose_distance(first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    """Return the distance in metres and the angle in radians between rigid transforms."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    translation = np.linalg.norm(first[..., :3, 3] - second[..., :3, 3], axis=-1)
    relative = np.swapaxes(first[..., :3, :3], -1, -2) @ second[..., :3, :3]
    return np.asarray(translation), rotation_angle(relative)
