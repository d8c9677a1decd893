"""Epipolar geometry of two cameras with known poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]


def essential_matrix(second_from_first: ArrayLike) -> Array:
    """Return E (3, 3) with ``x2^T E x1 = 0`` for rays of the same point in two cameras."""
    transform = np.asarray(second_from_first, np.float64)
    return np.asarray(transforms.hat(transform[:3, 3]) @ transform[:3, :3])


def match_epipolar_distances(essential: Array, first: ArrayLike, second: ArrayLike) -> Array:
    """
    Return how far matches lie from each other's epipolar lines: the larger of the two distances.

    :param essential: (3, 3) with ``x2^T E x1 = 0``.
    :param first: (N, 2) coordinates on the plane z = 1 in the first camera.
    :param second: (N, 2) their matches in the second.
    :returns: (N,), in the unit of the plane (multiply by the focal length for pixels).
    """
    first = _homogeneous(np.asarray(first, np.float64))
    second = _homogeneous(np.asarray(second, np.float64))
    lines_in_second = first @ essential.T
    lines_in_first = second @ essential
    product = np.abs(np.sum(first * lines_in_first, axis=1))
    shorter = np.minimum(
        np.linalg.norm(lines_in_second[:, :2], axis=1),
        np.linalg.norm(lines_in_first[:, :2], axis=1),
    )
    return np.asarray(product / np.maximum(shorter, 1e-12))


def _homogeneous(plane: Array) -> Array:
    return np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
