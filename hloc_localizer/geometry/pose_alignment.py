"""Alignment of poses of the same cameras in two frames, robust, with or without scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]

_TRIALS = 400
_REFINEMENTS = 20
_MIN_POSITION_SIGMA = 1e-3
_MIN_ROTATION_SIGMA = 1e-3
"""Residuals smaller than a millimetre or a milliradian say nothing about the weights."""


@dataclass(frozen=True)
class PoseAlignment:
    """How poses lie on others: ``target = scale * rotation @ source + translation``."""

    scale: float
    rotation: Array
    """(3, 3)."""
    translation: Array
    """(3,) in the target's unit."""
    position_residuals: Array
    """(N,) distances in the target's unit."""
    rotation_residuals: Array
    """(N,) radians."""
    inliers: NDArray[np.bool_]
    """(N,) which poses the estimate rests on."""
    scale_sigma: float
    """Standard deviation of the scale relative to it; 0 where it was not estimated."""

    @property
    def target_from_source(self) -> Array:
        """The (4, 4) matrix; its upper left is ``scale * rotation``."""
        return transforms.transform_from(self.scale * self.rotation, self.translation)

    def apply_to_poses(self, poses: ArrayLike) -> Array:
        """Move poses ``source_from_child`` (..., 4, 4) to rigid poses ``target_from_child``."""
        poses = np.asarray(poses, np.float64)
        positions = poses[..., :3, 3] @ (self.scale * self.rotation).T + self.translation
        return transforms.transform_from(self.rotation @ poses[..., :3, :3], positions)


def align_poses(
    source: ArrayLike,
    target: ArrayLike,
    *,
    max_error: float,
    max_angle: float,
    with_scale: bool = False,
    seed: int = 0,
) -> PoseAlignment:
    """
    Return the alignment that most poses agree on.

    Positions and rotations count both, each by how well it fits: so a straight path is no
    problem, and a long one is not turned by what the rotations err. RANSAC over pairs of poses
    (Fischler and Bolles, 1981), scored by truncated squares, then weighted least squares on the
    inliers: the rotation minimises the chordal distances of the rotations and the distances of
    the positions together (Umeyama, 1991, with the rotations as further directions).

    :param source: (N, 4, 4) rigid.
    :param target: (N, 4, 4) of the same cameras.
    :param max_error: distance up to which a pose counts as inlier, in the target's unit.
    :param max_angle: the same of its rotation, radians.
    :raises ValueError: for fewer than two poses that agree, or, with scale, all at one place.
    """
    poses, goals = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if poses.shape != goals.shape or poses.ndim != 3 or len(poses) < 2:
        raise ValueError(f'poses of {poses.shape} and {goals.shape} cannot be aligned')
    generator = np.random.default_rng(seed)
    best, best_cost = None, np.inf
    for _ in range(_TRIALS):
        chosen = generator.choice(len(poses), 2, replace=False)
        try:
            trial = _fit(poses[chosen], goals[chosen], max_error, max_angle, with_scale)
        except ValueError:
            continue
        residuals = _residuals(trial, poses, goals)
        cost = _cost(*residuals, max_error, max_angle)
        if cost < best_cost and _count(*residuals, max_error, max_angle) >= 2:
            best, best_cost = trial, cost
    if best is None:
        raise ValueError('no two poses agree')
    return _refined(best, poses, goals, max_error, max_angle, with_scale)


_Motion = tuple[float, Array, Array]
"""Scale, rotation, translation."""


def _refined(
    motion: _Motion,
    poses: Array,
    goals: Array,
    max_error: float,
    max_angle: float,
    with_scale: bool,
) -> PoseAlignment:
    positions, rotations = _residuals(motion, poses, goals)
    inliers = (positions <= max_error) & (rotations <= max_angle)
    for _ in range(_REFINEMENTS):
        position_sigma = max(float(np.median(positions[inliers])), _MIN_POSITION_SIGMA)
        rotation_sigma = max(float(np.median(rotations[inliers])), _MIN_ROTATION_SIGMA)
        motion = _fit(poses[inliers], goals[inliers], position_sigma, rotation_sigma, with_scale)
        positions, rotations = _residuals(motion, poses, goals)
        agreed = (positions <= max_error) & (rotations <= max_angle)
        if np.array_equal(agreed, inliers) or np.count_nonzero(agreed) < 2:
            break
        inliers = agreed
    scale, rotation, translation = motion
    spread = poses[inliers, :3, 3] - poses[inliers, :3, 3].mean(axis=0)
    length = scale * float(np.linalg.norm(spread))
    # Per axis; 1e-300 for poses all at one place, whose scale nobody knows.
    rms = float(np.sqrt(np.mean(positions[inliers] ** 2) / 3.0))
    sigma = rms / max(length, 1e-300) if with_scale else 0.0
    return PoseAlignment(scale, rotation, translation, positions, rotations, inliers, sigma)


def _fit(
    poses: Array, goals: Array, position_sigma: float, rotation_sigma: float, with_scale: bool
) -> _Motion:
    source, target = poses[:, :3, 3], goals[:, :3, 3]
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source, target = source - source_mean, target - target_mean
    directions = np.einsum('nij,nkj->ik', goals[:, :3, :3], poses[:, :3, :3])
    by_rotations = directions / (2.0 * rotation_sigma**2)
    scale = 1.0
    if with_scale:
        # A first value by the spread: the weight of the positions hangs on the scale.
        scale = float(np.linalg.norm(target)) / max(float(np.linalg.norm(source)), 1e-300)
    by_positions = scale * target.T @ source / position_sigma**2
    rotation = _nearest_rotation(by_positions + by_rotations)
    if with_scale:
        variance = float(np.sum(source**2))
        if variance < 1e-18:
            raise ValueError('all poses are at one place: no scale')
        scale = float(np.sum(target * (source @ rotation.T))) / variance
        if not scale > 0.0:
            raise ValueError('the poses contradict each other: no scale')
    return scale, rotation, target_mean - scale * rotation @ source_mean


def _residuals(motion: _Motion, poses: Array, goals: Array) -> tuple[Array, Array]:
    scale, rotation, translation = motion
    moved = scale * poses[:, :3, 3] @ rotation.T + translation
    positions = np.linalg.norm(moved - goals[:, :3, 3], axis=1)
    turned = np.swapaxes(rotation @ poses[:, :3, :3], 1, 2) @ goals[:, :3, :3]
    return np.asarray(positions), transforms.rotation_angle(turned)


def _cost(positions: Array, rotations: Array, max_error: float, max_angle: float) -> float:
    parts = (positions / max_error) ** 2 + (rotations / max_angle) ** 2
    return float(np.sum(np.minimum(parts, 2.0)))


def _count(positions: Array, rotations: Array, max_error: float, max_angle: float) -> int:
    return int(np.count_nonzero((positions <= max_error) & (rotations <= max_angle)))


def _nearest_rotation(matrix: Array) -> Array:
    left, _, right = np.linalg.svd(matrix)
    mirror = np.sign(np.linalg.det(left) * np.linalg.det(right))
    return np.asarray(left @ np.diag([1.0, 1.0, mirror]) @ right)
