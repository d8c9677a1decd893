"""Normalised estimation error squared: whether a covariance says how wrong its pose is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hloc_localizer.geometry.transforms import rotvec_from_rotation

Array = NDArray[np.float64]


def pose_error(estimate: ArrayLike, reference: ArrayLike) -> Array:
    """
    Return the error of a pose in the convention of its covariance.

    :param estimate: (4, 4) ``map_from_camera``.
    :param reference: (4, 4) true ``map_from_camera``.
    :returns: (6,): estimated minus true position in metres, then the rotation vector w about the
        map's axes with ``R_estimate = exp(w) R_reference``, in radians.
    """
    estimate = np.asarray(estimate, np.float64)
    reference = np.asarray(reference, np.float64)
    rotation = rotvec_from_rotation(estimate[:3, :3] @ reference[:3, :3].T)
    return np.concatenate([estimate[:3, 3] - reference[:3, 3], rotation])


def pose_nees(error: ArrayLike, covariance: ArrayLike | None) -> tuple[float, float, float]:
    """
    Return the NEES of translation (3 degrees of freedom), rotation (3) and pose (6).

    An honest covariance gives chi-square distributed values with means 3, 3 and 6 (Bar-Shalom,
    Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation", 5.4).

    :param error: (6,) of :func:`pose_error`.
    :param covariance: (6, 6); NaN is returned where it is missing or not positive definite.
    """
    error = np.asarray(error, np.float64)
    if covariance is None:
        return float('nan'), float('nan'), float('nan')
    matrix = np.asarray(covariance, np.float64)
    return (
        _squared_mahalanobis(error[:3], matrix[:3, :3]),
        _squared_mahalanobis(error[3:], matrix[3:, 3:]),
        _squared_mahalanobis(error, matrix),
    )


def _squared_mahalanobis(error: Array, covariance: Array) -> float:
    try:
        whitened = np.linalg.solve(np.linalg.cholesky(covariance), error)
    except np.linalg.LinAlgError:
        return float('nan')
    return float(whitened @ whitened)
