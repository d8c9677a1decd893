"""How far the view has moved between two images, where no pose tells it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH = 320
_CORNERS = 200
_FEWEST = 20
_LARGEST_RETURN_PX = 1.0
"""A corner that is not found back where it came from was followed wrongly."""


class ImageMotion:
    """The corners of one image, followed into later ones (Lucas and Kanade, pyramidal)."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._grey = _small_grey(image)
        self._corners = cv2.goodFeaturesToTrack(self._grey, _CORNERS, 0.01, 5)

    def share_of_width(self, image: NDArray[np.uint8]) -> float:
        """
        Return the median displacement of the corners as a share of the image's width.

        :returns: 1 where too few corners are found again to tell.
        """
        if self._corners is None or len(self._corners) < _FEWEST:
            return 1.0
        grey = _small_grey(image)
        there, found, _ = cv2.calcOpticalFlowPyrLK(self._grey, grey, self._corners, None)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(grey, self._grey, there, None)
        returned = np.linalg.norm((back - self._corners).reshape(-1, 2), axis=1)
        good = (found.ravel() == 1) & (found_back.ravel() == 1) & (returned < _LARGEST_RETURN_PX)
        if np.count_nonzero(good) < max(_FEWEST, 0.3 * len(good)):
            return 1.0
        moved = np.linalg.norm((there - self._corners).reshape(-1, 2)[good], axis=1)
        return float(np.median(moved) / self._grey.shape[1])


def _small_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = _WIDTH / grey.shape[1]
    if scale < 1.0:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)
