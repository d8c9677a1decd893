"""A pose graph: relative poses from images and from odometry, brought together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]

_ITERATIONS = 20
_SMALLEST_STEP = 1e-7


@dataclass(frozen=True)
class Edges:
    """E measured relative poses, each of a group with a scale of its own."""

    first: NDArray[np.intp]
    """(E,) index of a pose."""
    second: NDArray[np.intp]
    """(E,)."""
    first_from_second: Array
    """(E, 4, 4)."""
    sigma_m: Array
    """(E,) standard deviation of the translation, in metres."""
    sigma_rad: Array
    """(E,) of the rotation."""
    group: NDArray[np.intp]
    """(E,) which of the unknown scales multiplies the translation; -1: none, it is in metres."""

    @classmethod
    def join(cls, *parts: Edges) -> Edges:
        """Put several sets of edges together."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in cls.__dataclass_fields__
            )
        )


def optimise(
    poses: Array, scales: Array, edges: Edges, *, fixed: int = 0
) -> tuple[Array, Array, Array]:
    """
    Find the poses and scales that agree best with the edges.

    Gauss-Newton on the residuals of rotation and translation of each edge, in the frame of its
    first pose, with Cauchy weights: an edge that contradicts all others loses its say.

    :param poses: (N, 4, 4) to start from; every pose has to be reached by edges.
    :param scales: (G,) to start from.
    :param fixed: index of the pose that stays.
    :returns: poses, scales, and the normalised residual (E,) of each edge.
    """
    poses, scales = poses.copy(), scales.copy()
    for _ in range(_ITERATIONS):
        residuals = _residuals(poses, scales, edges)
        step = _step(poses, scales, edges, residuals, fixed)
        moves = step[: 6 * len(poses)].reshape(-1, 6)
        poses[:, :3, 3] += moves[:, :3]
        poses[:, :3, :3] = poses[:, :3, :3] @ transforms.rotation_from_rotvec(moves[:, 3:])
        scales = scales * np.exp(np.clip(step[6 * len(poses) :], -0.5, 0.5))
        if np.abs(step).max() < _SMALLEST_STEP:
            break
    final = _residuals(poses, scales, edges)
    return poses, scales, np.asarray(np.linalg.norm(final, axis=1))


def _factors(scales: Array, edges: Edges) -> Array:
    return np.append(scales, 1.0)[edges.group]  # group -1 is the one at the end


def _residuals(poses: Array, scales: Array, edges: Edges) -> Array:
    """Return (E, 6): translation, then rotation, each divided by its standard deviation."""
    between = transforms.invert(poses[edges.first]) @ poses[edges.second]
    measured = edges.first_from_second
    moved = between[:, :3, 3] - _factors(scales, edges)[:, None] * measured[:, :3, 3]
    turned = transforms.rotvec_from_rotation(
        np.swapaxes(measured[:, :3, :3], 1, 2) @ between[:, :3, :3]
    )
    return np.concatenate(
        [moved / edges.sigma_m[:, None], turned / edges.sigma_rad[:, None]], axis=1
    )


def _step(poses: Array, scales: Array, edges: Edges, residuals: Array, fixed: int) -> Array:
    weights = np.sqrt(1.0 / (1.0 + (residuals**2).sum(axis=1) / 6.0))
    jacobian = _jacobian(poses, scales, edges, weights)
    normal = (jacobian.T @ jacobian).tolil()
    gradient = jacobian.T @ (residuals * weights[:, None]).ravel()
    for index in range(6 * fixed, 6 * fixed + 6):
        normal[index, index] += 1e12
    damping = sparse.identity(normal.shape[0]) * 1e-9
    return np.asarray(spsolve((normal.tocsc() + damping).tocsc(), -gradient))


def _jacobian(poses: Array, scales: Array, edges: Edges, weights: Array) -> sparse.csr_matrix:
    count = len(edges.first)
    rotation_first = poses[edges.first, :3, :3]
    between = transforms.invert(poses[edges.first]) @ poses[edges.second]
    world_to_first = np.swapaxes(rotation_first, 1, 2)
    to_first, to_second = np.zeros((count, 6, 6)), np.zeros((count, 6, 6))
    share_m = (weights / edges.sigma_m)[:, None, None]
    share_rad = (weights / edges.sigma_rad)[:, None, None]
    to_first[:, :3, :3] = -world_to_first * share_m
    to_first[:, :3, 3:] = transforms.hat(between[:, :3, 3]) * share_m
    to_first[:, 3:, 3:] = -np.swapaxes(between[:, :3, :3], 1, 2) * share_rad
    to_second[:, :3, :3] = world_to_first * share_m
    to_second[:, 3:, 3:] = np.eye(3) * share_rad
    to_scale = np.zeros((count, 6, 1))
    moved = _factors(scales, edges)[:, None] * edges.first_from_second[:, :3, 3]
    to_scale[:, :3, 0] = -moved * share_m[:, :, 0]
    scaled = edges.group >= 0
    columns = 6 * len(poses) + len(scales)
    blocks = [
        _scatter(to_first, 6 * edges.first, np.arange(count), columns, count),
        _scatter(to_second, 6 * edges.second, np.arange(count), columns, count),
        _scatter(
            to_scale[scaled],
            6 * len(poses) + edges.group[scaled],
            np.flatnonzero(scaled),
            columns,
            count,
        ),
    ]
    return sparse.csr_matrix(blocks[0] + blocks[1] + blocks[2])


def _scatter(
    blocks: Array, column: NDArray[np.intp], edge: NDArray[np.intp], columns: int, count: int
) -> sparse.csr_matrix:
    """Put blocks (B, 6, W) where their edge and their column say."""
    width = blocks.shape[2]
    rows = 6 * edge[:, None, None] + np.arange(6)[None, :, None]
    cols = column[:, None, None] + np.arange(width)[None, None, :]
    shape = blocks.shape
    return sparse.csr_matrix(
        (
            blocks.ravel(),
            (np.broadcast_to(rows, shape).ravel(), np.broadcast_to(cols, shape).ravel()),
        ),
        shape=(6 * count, columns),
    )
