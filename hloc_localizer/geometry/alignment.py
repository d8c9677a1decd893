"""Alignment of points: rigid or with scale, least squares or robust."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]

_RANSAC_ITERATIONS = 500
_REFINE_ITERATIONS = 10


@dataclass(frozen=True)
class Alignment:
    """How points lie on others: ``target = scale * rotation @ source + translation``."""

    scale: float
    rotation: Array
    """(3, 3)."""
    translation: Array
    """(3,) in the target's unit."""
    residuals: Array
    """(N,) distances between the moved source points and their targets, in the target's unit."""
    inliers: NDArray[np.bool_]
    """(N,) which points the estimate rests on."""

    @property
    def target_from_source(self) -> Array:
        """The (4, 4) matrix; its upper left is ``scale * rotation``, so it is rigid for scale 1."""
        return transforms.transform_from(self.scale * self.rotation, self.translation)

    def apply_to_poses(self, poses: ArrayLike) -> Array:
        """Move poses ``source_from_child`` (..., 4, 4) to rigid poses ``target_from_child``."""
        poses = np.asarray(poses, np.float64)
        positions = poses[..., :3, 3] @ (self.scale * self.rotation).T + self.translation
        return transforms.transform_from(self.rotation @ poses[..., :3, :3], positions)


def align_points(
    source: ArrayLike,
    target: ArrayLike,
    *,
    with_scale: bool = False,
    weights: ArrayLike | None = None,
) -> Alignment:
    """
    Return the least-squares alignment of corresponding points.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns"
    (1991), with weights.

    :param source: (N, 3).
    :param target: (N, 3).
    :param with_scale: estimate a scale as well; it is 1 otherwise.
    :param weights: (N,) not negative.
    :raises ValueError: for points that do not fix a rotation: fewer than three, or on one line.
    """
    points, goals = _corresponding(source, target)
    share = np.asarray(np.ones(len(points)) if weights is None else weights, np.float64)
    if np.count_nonzero(share > 0.0) < 3:
        raise ValueError('alignment needs three points or more')
    share = share / share.sum()
    source_mean, target_mean = share @ points, share @ goals
    centred = points - source_mean
    covariance = ((goals - target_mean) * share[:, None]).T @ centred
    rotation = _nearest_rotation(covariance)
    scale = 1.0
    if with_scale:
        variance = float(share @ np.sum(centred**2, axis=1))
        scale = float(np.sum(rotation * covariance)) / variance
    translation = target_mean - scale * rotation @ source_mean
    residuals = np.linalg.norm(scale * points @ rotation.T + translation - goals, axis=1)
    return Alignment(scale, rotation, translation, np.asarray(residuals), share > 0.0)


def align_points_robustly(
    source: ArrayLike,
    target: ArrayLike,
    *,
    max_error: float,
    with_scale: bool = False,
    seed: int = 0,
) -> Alignment:
    """
    Return an alignment that wrong correspondences do not bend.

    RANSAC over triples (Fischler and Bolles, 1981), scored by truncated squared residuals (MSAC,
    Torr and Zisserman, 2000), then least squares on the inliers until they no longer change.

    :param source: (N, 3).
    :param target: (N, 3).
    :param max_error: residual up to which a point counts as inlier, in the target's unit.
    :param seed: of the random triples; the same seed gives the same result.
    :raises ValueError: when no three points agree, or those that do lie on one line.
    """
    points, goals = _corresponding(source, target)
    if len(points) < 3:
        raise ValueError('alignment needs three points or more')
    generator = np.random.default_rng(seed)
    best, best_cost = None, np.inf
    for _ in range(_RANSAC_ITERATIONS):
        chosen = generator.choice(len(points), 3, replace=False)
        try:
            trial = align_points(points[chosen], goals[chosen], with_scale=with_scale)
        except ValueError:
            continue
        residuals = _residuals(trial, points, goals)
        cost = float(np.sum(np.minimum(residuals, max_error) ** 2))
        if cost < best_cost and np.count_nonzero(residuals <= max_error) >= 3:
            best, best_cost = trial, cost
    if best is None:
        raise ValueError(f'no three points agree on an alignment within {max_error:g}')
    return _refined(best, points, goals, max_error, with_scale)


def _refined(
    alignment: Alignment, source: Array, target: Array, max_error: float, with_scale: bool
) -> Alignment:
    inliers = _residuals(alignment, source, target) <= max_error
    for _ in range(_REFINE_ITERATIONS):
        alignment = align_points(source, target, with_scale=with_scale, weights=inliers)
        agreed = alignment.residuals <= max_error
        if np.array_equal(agreed, inliers) or np.count_nonzero(agreed) < 3:
            break
        inliers = agreed
    return alignment


def _residuals(alignment: Alignment, source: Array, target: Array) -> Array:
    moved = alignment.scale * source @ alignment.rotation.T + alignment.translation
    return np.asarray(np.linalg.norm(moved - target, axis=1))


def _corresponding(source: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    points, goals = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if points.shape != goals.shape or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f'points of {points.shape} and {goals.shape} do not correspond')
    return points, goals


def _nearest_rotation(covariance: Array) -> Array:
    left, singular, right = np.linalg.svd(covariance)
    if singular[1] <= 1e-9 * max(singular[0], 1e-300):
        raise ValueError('points lie on one line: their alignment leaves a rotation open')
    mirror = np.sign(np.linalg.det(left) * np.linalg.det(right))
    return np.asarray(left @ np.diag([1.0, 1.0, mirror]) @ right)
