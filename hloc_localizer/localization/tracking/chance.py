"""How many poses as good as a given one chance alone would give: an a-contrario test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

_SAMPLE = 3
"""Matches that determine a pose ..."""
_POSES = 4
"""... up to so many of them."""


def log10_false_alarms(errors_px: NDArray[np.float64], radius_px: float) -> float:
    """
    Return the logarithm of the expected number of such agreements by chance.

    Matches that were searched within a radius of a predicted pixel, and are wrong, lie anywhere in
    that disc: such a one is within ``e`` of any given pixel with the probability ``(e / r)^2``. The
    number of false alarms of ``k`` of ``n`` matches within ``e`` is
    ``4 (n - 3) C(n, k) C(k, 3) (e / r)^(2 (k - 3))`` (Moisan and Stival, "A probabilistic criterion
    to detect rigid point matches between two images", IJCV 2004); the smallest over all ``k`` and
    their ``e`` counts.

    :param errors_px: (N,) reprojection errors of the matches, at a pose that they determined.
    :param radius_px: how far from the predicted pixels was searched.
    """
    errors = np.sort(errors_px[np.isfinite(errors_px)])
    n = len(errors_px)
    agreeing = np.arange(_SAMPLE + 1, len(errors) + 1)
    if len(agreeing) == 0:
        return float('inf')
    chance = np.clip(np.maximum(errors[_SAMPLE:], _FINEST_PX) / radius_px, 0.0, 1.0)
    log_alarms = (
        np.log(_POSES * (n - _SAMPLE))
        + _log_binomial(n, agreeing)
        + _log_binomial(agreeing, _SAMPLE)
        + 2.0 * (agreeing - _SAMPLE) * np.log(chance)
    )
    return float(log_alarms.min() / np.log(10.0))


_FINEST_PX = 0.5
"""Errors below the noise of keypoints prove no more."""


def _log_binomial(n: NDArray[np.intp] | int, k: NDArray[np.intp] | int) -> NDArray[np.float64]:
    n, k = np.asarray(n), np.asarray(k)
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
