"""The loss of matches when a pose is refined: one that is wrong counts little, however wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CAUCHY = 1.0**2
"""Squared scale of the loss, in standard deviations: below it a residual counts in full."""
_BEHIND = 1e6
"""Squared length that stands for a point which slipped behind the camera: wrong beyond doubt."""


def cauchy_weights(squared: Array) -> Array:
    """Return what residuals of squared lengths (N,) count."""
    return np.asarray(1.0 / (1.0 + squared / CAUCHY))


def robust_normal(residuals: Array, jacobians: Array) -> tuple[float, Array, Array]:
    """
    Return the cost, the normal matrix (P, P) and the gradient (P,) of whitened residuals.

    :param residuals: (N, 2); not finite for points behind the camera.
    :param jacobians: (N, 2, P).
    """
    squared = np.sum(residuals**2, axis=1)
    squared = np.where(np.isfinite(squared), squared, _BEHIND)
    visible = np.asarray(
        np.isfinite(residuals).all(axis=1) & np.isfinite(jacobians).all(axis=(1, 2)), np.bool_
    )
    weights = np.where(visible, cauchy_weights(squared), 0.0)
    residuals = np.where(visible[:, None], residuals, 0.0)
    jacobians = np.where(visible[:, None, None], jacobians, 0.0)
    rows = jacobians.reshape(-1, jacobians.shape[2])
    weighted = rows * np.repeat(weights, 2)[:, None]
    cost = float(CAUCHY * np.log1p(squared / CAUCHY).sum())
    return cost, weighted.T @ rows, weighted.T @ residuals.ravel()
