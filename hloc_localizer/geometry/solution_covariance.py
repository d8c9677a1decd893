"""Covariance of a robust solution: what its matches scatter, and how far its parts disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.robust import cauchy_weights

Array = NDArray[np.float64]

_CELLS = 8
"""Cells over the width of an image."""
_PROMISED = 10.0
"""As many matches with just the promised noise are added to what the residuals show of it."""
_WEIGHT, _SCORE = 0.2693, 0.0961
"""Mean of w^2, and of (w r)^2 of each axis, of normal residuals of unit variance."""
_LEAST_LEFT = 1e-9
"""Share of the information in any direction that has to remain without any one part."""


def solution_covariance(
    residuals: Array,
    jacobians: Array,
    cells: NDArray[np.intp],
    moments: NDArray[np.intp] | None = None,
    ties: Array | None = None,
) -> Array | None:
    """
    Return the covariance of the last of some poses at the minimum of their Cauchy loss.

    It is the sum of two parts.

    The first supposes that matches err independently: the covariance of an M-estimator (Huber and
    Ronchetti, "Robust Statistics", 2nd edition, section 7.6). Under a Cauchy loss the slope counts
    ``w``, but the curvature only ``w^2``: a match that is off by more than its noise does not hold
    the pose as firmly as it pulls. How much the slopes scatter is what the residuals show.

    The second supposes nothing of the kind. Matches of one part of the scene err alike: its points
    were triangulated from the same images, it may have been moved, or be blurred. So each part is
    left out in turn, and how far that moves the pose is what it is uncertain by (the jackknife over
    clusters; Cameron and Miller, "A practitioner's guide to cluster-robust inference", 2015). What
    several images show of one part is left out of all of them: it does not count as many times.

    Where matches do err independently, the sum is up to twice the variance.

    :param residuals: (N, 2) of unit variance as promised; those that are not finite do not count.
    :param jacobians: (N, 2, 6) of them by the pose of their moment.
    :param cells: (N,) the part of the scene that each match is in.
    :param moments: (N,) the pose that each belongs to, of several.
    :param ties: (6K, 6K) information on the K poses beside that of the matches.
    :returns: (6, 6), positive definite; None where without one part nothing determines the pose.
    """
    count = 1 if ties is None else len(ties) // 6
    ties = np.zeros((6, 6)) if ties is None else ties
    owners = np.zeros(len(residuals), np.intp) if moments is None else moments
    visible = np.isfinite(residuals).all(axis=1) & np.isfinite(jacobians).all(axis=(1, 2))
    if not visible.any():
        return None
    residuals, jacobians = residuals[visible], jacobians[visible]
    squared = np.sum(residuals**2, axis=1)
    weights = cauchy_weights(squared)
    names, cell = np.unique(cells[visible], return_inverse=True)
    place = cell.reshape(-1) * count + owners[visible]
    slopes = _summed(np.einsum('nki,nk->ni', jacobians, weights[:, None] * residuals), place,
                     len(names) * count)  # fmt: skip
    heavy = jacobians * weights[:, None, None]
    curves = _summed(heavy.transpose(0, 2, 1) @ heavy, place, len(names) * count)
    parts = _spread_out(curves.reshape(len(names), count, 6, 6))
    scatter = _scatter(weights, squared)
    total = parts.sum(axis=0) + scatter * ties
    try:
        disagreement = _disagreement(total, parts, slopes.reshape(len(names), -1, 1))
        covariance = scatter * np.linalg.inv(total)[-6:, -6:] + disagreement
        covariance = 0.5 * (covariance + covariance.T)
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
    return covariance if np.all(np.isfinite(covariance)) else None


def _scatter(weights: Array, squared: Array) -> float:
    """Return the variance of the residuals, as they and what was promised of them tell it."""
    freedom = max(float((weights**2).sum()) - 3.0 + _WEIGHT * _PROMISED, 1.0)
    return (0.5 * float((weights**2 * squared).sum()) + _SCORE * _PROMISED) / freedom


def _disagreement(total: Array, parts: Array, slopes: Array) -> Array:
    """
    Return by how far the last pose moves when each part is left out in turn: the jackknife.

    :param total: (6K, 6K) the curvature of all parts and the ties.
    :param parts: (G, 6K, 6K) that of each part.
    :param slopes: (G, 6K, 1) of each part.
    :returns: (6, 6).
    :raises numpy.linalg.LinAlgError: where without one of them the poses are not determined.
    """
    without = total[None] - parts
    # Singular but for rounding, a matrix would still be solved with, and the pose said to move by
    # light years. What remains must hold the poses at least this firmly in every direction.
    np.linalg.cholesky(without - _LEAST_LEFT * total)
    moved = np.linalg.solve(without, slopes)[:, -6:, 0]
    return np.asarray((len(parts) - 1) / len(parts) * (moved.T @ moved))


def cell_width(image_width: int, focal_px: float) -> float:
    """Return how wide a part of the scene is, as an angle: an eighth of the image."""
    return image_width / _CELLS / focal_px


def direction_cells(points: NDArray[Any], centre: Array, width: float) -> NDArray[np.intp]:
    """
    Name the part of the scene that points are in, by their direction.

    The sphere around the centre is cut by a cubic lattice, so that it has no poles.

    :param points: (N, 3).
    :param centre: (3,) from where they are seen.
    :param width: of the lattice, on a sphere of radius 1.
    :returns: (N,) the same number for those of one part.
    """
    offsets = np.asarray(points, np.float64) - centre
    distance = np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-9)
    steps = int(np.ceil(1.0 / width)) + 1
    lattice = np.floor(offsets / distance / width).astype(np.intp) + steps
    return np.asarray(lattice @ (2 * steps + 1) ** np.arange(3), np.intp)


def _summed(values: Array, place: NDArray[np.intp], count: int) -> Array:
    """Add up values (N, ...) of the same place, for ``count`` places."""
    flat = values.reshape(len(values), -1)
    total = np.zeros((count, flat.shape[1]))
    order = np.argsort(place, kind='stable')
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    total[place[order][starts]] = np.add.reduceat(flat[order], starts, axis=0)
    return total.reshape(count, *values.shape[1:])


def _spread_out(blocks: Array) -> Array:
    """Return block-diagonal matrices (G, 6K, 6K) of blocks (G, K, 6, 6)."""
    groups, count = blocks.shape[:2]
    matrices = np.zeros((groups, count, 6, count, 6))
    each = np.arange(count)
    matrices[:, each, :, each, :] = blocks.transpose(1, 0, 2, 3)
    return matrices.reshape(groups, 6 * count, 6 * count)
