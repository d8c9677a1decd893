"""Relative poses of two kinds come together, and one that contradicts the others has no say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hloc_localizer.geometry import transforms
from hloc_localizer.mapping.metric import relative
from hloc_localizer.mapping.pose_graph import Edges, optimise

SCALE = 2.5


def circle(count: int = 30) -> np.ndarray:
    turn = np.linspace(0.0, 1.8 * np.pi, count)
    centres = np.stack([2.0 * np.cos(turn), 2.0 * np.sin(turn), 0.1 * turn], axis=1)
    rotvecs = np.stack([0.1 * np.sin(turn), 0.05 * turn, turn], axis=1)
    return np.asarray(
        transforms.transform_from(transforms.rotation_from_rotvec(rotvecs), centres), np.float64
    )


def edges_of(poses: np.ndarray, step: int, *, group: int, scale: float = 1.0) -> Edges:
    first = np.arange(len(poses) - step)
    between = relative(poses, first, first + step)
    between[:, :3, 3] /= scale
    return Edges(
        first=first,
        second=first + step,
        first_from_second=between,
        sigma_m=np.full(len(first), 0.01),
        sigma_rad=np.full(len(first), 0.005),
        group=np.full(len(first), group),
    )


def disturbed(poses: np.ndarray, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = transforms.transform_from(
        transforms.rotation_from_rotvec(random.normal(0.0, 0.05, (len(poses), 3))),
        random.normal(0.0, 0.1, (len(poses), 3)),
    )
    moved = poses @ noise
    moved[0] = poses[0]
    return np.asarray(moved)


def test_exact_edges_give_the_poses_and_the_scale() -> None:
    truth = circle()
    edges = Edges.join(edges_of(truth, 1, group=-1), edges_of(truth, 3, group=0, scale=SCALE))
    poses, scales, residuals = optimise(disturbed(truth), np.array([1.5]), edges)
    assert np.abs(poses - truth).max() < 1e-5
    assert scales == pytest.approx([SCALE], rel=1e-5)
    assert residuals.max() < 1e-3


def test_edges_between_far_poses_undo_the_drift_of_a_chain() -> None:
    truth = circle()
    chain = edges_of(truth, 1, group=-1)
    bent = chain.first_from_second @ transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, 0.0, 0.004]), [0.004, 0.0, 0.0]
    )
    chain = dataclasses.replace(chain, first_from_second=np.asarray(bent))
    alone, _, _ = optimise(truth, np.zeros(0), chain)
    far = edges_of(truth, 10, group=0, scale=SCALE)
    both, scales, _ = optimise(truth, np.array([SCALE]), Edges.join(chain, far))
    drift, left = (np.linalg.norm(p[-1, :3, 3] - truth[-1, :3, 3]) for p in (alone, both))
    assert drift > 0.15
    assert left < 0.3 * drift
    assert scales == pytest.approx([SCALE], rel=0.02)


def test_a_wrong_edge_has_no_say() -> None:
    truth = circle()
    edges = Edges.join(
        *(edges_of(truth, step, group=-1) for step in (1, 2, 3)),
    )
    wrong = edges.first_from_second.copy()
    wrong[40, :3, 3] += [1.0, -2.0, 0.5]
    poses, _, residuals = optimise(
        truth, np.zeros(0), dataclasses.replace(edges, first_from_second=wrong)
    )
    assert np.linalg.norm(poses[:, :3, 3] - truth[:, :3, 3], axis=1).max() < 0.003
    assert int(np.argmax(residuals)) == 40
