"""The probability that a pose is right, by a logistic model of the evidence for it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.localization.acceptance import Evidence
from hloc_localizer.maps.calibration import SuccessModel

Array = NDArray[np.float64]

FEATURES = (
    'log_inliers',
    'log_distinct',
    'spread',
    'log_visible_ratio',
)
"""
What the probability is made of, in this order.

The standard deviations and the margin of the retrieval say more about the recording that they were
learned on than about the pose.
"""

_RIDGE = 0.1
_ITERATIONS = 50


def features_of(evidence: Evidence) -> Array:
    """Return the numbers (4,) that the probability is made of."""
    return np.array(
        [
            math.log1p(evidence.inliers),
            math.log1p(evidence.distinct),
            min(evidence.spread, 2.0),
            math.log(max(evidence.visible_ratio, 1e-3)),
        ]
    )


def success_probability(model: SuccessModel, evidence: Evidence) -> float:
    """Return the probability in [0, 1] that a pose with this evidence is right."""
    return float(probabilities(model, features_of(evidence)[None])[0])


def probabilities(model: SuccessModel, features: Array) -> Array:
    """Return the probabilities (N,) of poses with features (N, 4) of :func:`features_of`."""
    weights = np.array([model.weights.get(name, 0.0) for name in FEATURES])
    return _sigmoid(features @ weights + model.bias)


def _sigmoid(values: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))


def learn_success(features: Array, right: NDArray[np.bool_]) -> SuccessModel | None:
    """
    Fit the logistic model by iterated least squares, with a small ridge on scaled features.

    The ridge keeps the weights finite where right and wrong can be told apart without error.

    :param features: (N, 4) of :func:`features_of`.
    :param right: (N,) whether each pose was.
    :returns: None when all are right or all are wrong.
    """
    if not len(right) or right.all() or not right.any():
        return None
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    design = np.column_stack([(features - mean) / scale, np.ones(len(features))])
    ridge = np.diag([_RIDGE] * len(FEATURES) + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(_ITERATIONS):
        guess = _sigmoid(design @ weights)
        slope = design.T @ (guess - right) + ridge @ weights
        curvature = (design * (guess * (1.0 - guess))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, slope)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    unscaled = weights[:-1] / scale
    return SuccessModel(
        weights={name: float(w) for name, w in zip(FEATURES, unscaled, strict=True)},
        bias=float(weights[-1] - unscaled @ mean),
    )
