"""Covariances of poses: moved from one frame of a rigid body to another; the errors they are of."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]


def keypoint_sigma_px(mean_error_px: float) -> float:
    """
    Return the standard deviation of keypoints per axis, from the mean length of their errors.

    Lengths of normal errors in a plane are Rayleigh-distributed: their mean is sigma times the root
    of pi / 2. Bounded, since the mean of a reconstruction may be of cleaned or of no errors.
    """
    return float(np.clip(mean_error_px / np.sqrt(np.pi / 2.0), 0.3, 3.0))


def packed_symmetric(matrices: ArrayLike) -> Array:
    """Return xx, xy, xz, yy, yz, zz (N, 6) of symmetric matrices (N, 3, 3)."""
    return np.asarray(matrices, np.float64)[:, _ROWS, _COLUMNS]


def unpacked_symmetric(packed: ArrayLike) -> Array:
    """Return the symmetric matrices (N, 3, 3) that :func:`packed_symmetric` packed to (N, 6)."""
    packed = np.asarray(packed, np.float64)
    matrices = np.empty((len(packed), 3, 3))
    matrices[:, _ROWS, _COLUMNS] = packed
    matrices[:, _COLUMNS, _ROWS] = packed
    return matrices


_ROWS, _COLUMNS = np.triu_indices(3)


def pose_error(estimate: ArrayLike, reference: ArrayLike) -> Array:
    """
    Return the error of a pose in the convention of its covariance.

    :param estimate: (4, 4) ``map_from_body``.
    :param reference: (4, 4) true ``map_from_body``.
    :returns: (6,): estimated minus true position in metres, then the rotation vector w about the
        map's axes with ``R_estimate = exp(w) R_reference``, in radians.
    """
    estimate = np.asarray(estimate, np.float64)
    reference = np.asarray(reference, np.float64)
    rotation = transforms.rotvec_from_rotation(estimate[:3, :3] @ reference[:3, :3].T)
    return np.concatenate([estimate[:3, 3] - reference[:3, 3], rotation])


def moved_along_body(
    covariance: ArrayLike, map_from_old: ArrayLike, map_from_new: ArrayLike
) -> Array:
    """
    Move the covariance of a body's pose from one of its frames to another one.

    Both frames are rigidly tied. With the error of a pose written as ``p + dp`` and
    ``exp(dr) R`` (``dr`` about the fixed axes of the map, the convention of ROS), the new origin
    moves by ``dp + dr x lever``, where the lever reaches from the old origin to the new one: the
    adjoint in map axes is ``[[I, -hat(lever)], [0, I]]`` (Barfoot, State Estimation for Robotics,
    eq. 7.45, for axes that stay parallel).

    :param covariance: (6, 6) of x y z (metres) and rotations about the fixed map axes (radians).
    :param map_from_old: (4, 4) pose that the covariance belongs to.
    :param map_from_new: (4, 4) pose that it is wanted for.
    :returns: (6, 6), symmetric.
    """
    old, new = np.asarray(map_from_old, np.float64), np.asarray(map_from_new, np.float64)
    adjoint = np.eye(6)
    adjoint[:3, 3:] = -transforms.hat(new[:3, 3] - old[:3, 3])
    moved = adjoint @ np.asarray(covariance, np.float64) @ adjoint.T
    return np.asarray(0.5 * (moved + moved.T))


def squared_mahalanobis(error: ArrayLike, covariance: ArrayLike) -> float:
    """Return ``error' inverse(covariance) error``; NaN where it is not positive definite."""
    matrix = np.asarray(covariance, np.float64)
    try:
        whitened = np.linalg.solve(np.linalg.cholesky(matrix), np.asarray(error, np.float64))
    except np.linalg.LinAlgError:
        return float('nan')
    return float(whitened @ whitened)
