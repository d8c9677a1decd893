"""Why an image has so few features: the light, the blur, or a scene that has no texture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.localization.result import Reason

_WIDTH = 320
"""Statistics are taken at this width: noise of single pixels is averaged away."""

_DARK, _BRIGHT = 30.0, 240.0
"""Nearly all pixels below the one, or above the other."""

_FINE_PX = 1.0
_COARSE_PX = (4.0, 16.0)
_MIN_COARSE = 8.0
"""Contrast at the coarse scale that a room, a street or a shelf has and a wall has not."""

_SHARP = 0.2
"""Fine relative to coarse contrast. Sharp images of a lounge had 0.23 to 0.58, images blurred by a
Gaussian of 3 pixels or more, at 540 pixels of width, less than 0.1."""


def why_few_features(image: NDArray[np.uint8]) -> Reason:
    """
    Tell from the statistics of an image why a front end found little in it.

    Blur takes the fine contrast of a scene and leaves the coarse; a wall has neither.

    :param image: (H, W) grey or (H, W, 3) RGB.
    :returns: ``BADLY_EXPOSED``, ``BLURRED`` or, when neither shows, ``NO_TEXTURE``.
    """
    grey = _small_grey(image)
    low, high = np.percentile(grey, (5.0, 95.0))
    if high < _DARK or low > _BRIGHT:
        return Reason.BADLY_EXPOSED
    fine = float((grey - _smoothed(grey, _FINE_PX)).std())
    coarse = float((_smoothed(grey, _COARSE_PX[0]) - _smoothed(grey, _COARSE_PX[1])).std())
    if coarse >= _MIN_COARSE and fine < _SHARP * coarse:
        return Reason.BLURRED
    return Reason.NO_TEXTURE


def _small_grey(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    height, width = grey.shape
    if width > _WIDTH:
        size = (_WIDTH, max(1, round(height * _WIDTH / width)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.float32)


def _smoothed(grey: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)
