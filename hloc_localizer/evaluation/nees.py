"""Normalised estimation error squared: whether a covariance says how wrong its pose is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hloc_localizer.geometry.covariance import pose_error, squared_mahalanobis

__all__ = ['pose_error', 'pose_nees']

Array = NDArray[np.float64]


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
        squared_mahalanobis(error[:3], matrix[:3, :3]),
        squared_mahalanobis(error[3:], matrix[3:, 3:]),
        squared_mahalanobis(error, matrix),
    )
