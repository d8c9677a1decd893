"""Descriptors in few bytes: RootSIFT as bytes, others as half floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS_PER_UNIT = 512.0
"""RootSIFT values are seldom above 0.5, so that 256 steps of this size hold them."""


def quantise_descriptors(
    descriptors: NDArray[np.float32], *, histograms: bool | None = None
) -> NDArray[Any]:
    """
    Return descriptors (M, D) as uint8 when none is negative (histograms), else as float16.

    :param histograms: whether none is, where these are a part of all; None: look.
    """
    if histograms is None:
        histograms = bool(descriptors.size and descriptors.min() >= 0.0)
    if histograms:
        steps = np.round(descriptors * _STEPS_PER_UNIT)
        return np.asarray(np.clip(steps, 0, 255), np.uint8)
    return descriptors.astype(np.float16)


def restore_descriptors(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Return stored descriptors (M, D) as float32 of unit length."""
    values = stored.astype(np.float32)
    if stored.dtype == np.uint8:
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
    return values
