"""How much wider than its solution says the covariance of a pose must be, learned from errors."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hloc_localizer.geometry.covariance import squared_mahalanobis
from hloc_localizer.localization.hypothesis import widened
from hloc_localizer.localization.options import CovarianceOptions

Array = NDArray[np.float64]

MIN_FRAMES = 20
"""Fewest localized images to learn from."""
_SMALLEST_FLOOR_M, _SMALLEST_FLOOR_DEG = 1e-4, 1e-3


def learn_inflation(errors: Array, covariances: Array) -> CovarianceOptions:
    """
    Choose the inflation under which errors are likeliest, then widen it to contain them.

    :param errors: (N, 6) of :func:`~hloc_localizer.geometry.covariance.pose_error`.
    :param covariances: (N, 6, 6) of the solutions, before anything was added.
    """
    return widened_to_contain(fit_inflation(errors, covariances), errors, covariances)


def nees_under(options: CovarianceOptions, errors: Array, covariances: Array) -> Array:
    """Return the NEES (N,) of errors (N, 6) under inflated covariances of solutions."""
    return np.array(
        [
            squared_mahalanobis(e, widened(c, options))
            for e, c in zip(errors, covariances, strict=True)
        ]
    )


def fit_inflation(errors: Array, covariances: Array) -> CovarianceOptions:
    """
    Maximise the likelihood of errors under scaled covariances with floors.

    :param errors: (N, 6).
    :param covariances: (N, 6, 6) of the solutions.
    """
    start = CovarianceOptions()
    logs = np.log([start.sigma_scale, start.position_floor_m, start.rotation_floor_deg])

    def cost(parameters: Array) -> float:
        inflated = widened(covariances, _inflation(parameters))
        _, log_det = np.linalg.slogdet(inflated)
        solved = np.linalg.solve(inflated, errors[:, :, None])[:, :, 0]
        return float(np.mean(np.sum(errors * solved, axis=1) + log_det))

    found = minimize(cost, logs, method='Nelder-Mead', options={'maxiter': 2000, 'xatol': 1e-3})
    return _inflation(np.asarray(found.x, np.float64))


_CONTAINED = 0.95
CHI_SQUARED = 12.592
"""The 95 % quantile of the chi-square distribution with 6 degrees of freedom."""


def widened_to_contain(
    options: CovarianceOptions, errors: Array, covariances: Array
) -> CovarianceOptions:
    """
    Widen an inflation until the 95 % ellipsoid contains 95 % of the errors.

    Errors have longer tails than a normal distribution; its likeliest width leaves too many out.
    """
    quantile = float(np.quantile(nees_under(options, errors, covariances), _CONTAINED))
    factor = float(np.sqrt(max(1.0, quantile / CHI_SQUARED)))
    return dataclasses.replace(
        options,
        sigma_scale=options.sigma_scale * factor,
        position_floor_m=options.position_floor_m * factor,
        rotation_floor_deg=options.rotation_floor_deg * factor,
    )


def _inflation(logs: Array) -> CovarianceOptions:
    scale, position, rotation = np.exp(np.clip(logs, -12.0, 4.0))
    return dataclasses.replace(
        CovarianceOptions(),
        sigma_scale=float(np.clip(scale, 0.1, 100.0)),
        position_floor_m=float(np.clip(position, _SMALLEST_FLOOR_M, 10.0)),
        rotation_floor_deg=float(np.clip(rotation, _SMALLEST_FLOOR_DEG, 90.0)),
    )


def narrowed(covariance: Array, options: CovarianceOptions) -> Array:
    """Undo what was added to the covariance of a solution."""
    floor = widened(np.zeros((6, 6)), options)
    return np.asarray((covariance - floor) / options.sigma_scale**2)
