"""From a camera's image to the pixels that an extractor sees."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.learned.options import LearnedOptions


def preprocess(image: NDArray[np.uint8], options: LearnedOptions) -> NDArray[Any]:
    """
    Turn grey and resize as the options say.

    With ``grayscale``, ``enlarge`` and ``resize_in_float`` as a map of hloc's records them, this
    is hloc's own preparation (hloc/extract_features.py): 8-bit grey, sizes rounded to even, and
    floating-point pixels averaged over areas where the image shrinks, interpolated where it grows.

    :param image: (H, W) or (H, W, 3) RGB.
    :returns: an image of values in [0, 255], uint8 or float32.
    """
    if options.grayscale and image.ndim == 3:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    height, width = image.shape[:2]
    scale = options.max_image_size / max(height, width)
    if scale == 1.0 or (scale > 1.0 and not options.enlarge):
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smaller = size[0] <= width and size[1] <= height
    pixels: NDArray[Any] = image.astype(np.float32) if options.resize_in_float else image
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation))
