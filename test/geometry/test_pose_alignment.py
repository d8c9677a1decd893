"""Poses in two frames: recovered exactly, from noise, wrong poses and straight paths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.pose_alignment import PoseAlignment, align_poses

LIMITS = {'max_error': 0.5, 'max_angle': np.radians(10.0)}


def walk(count: int, seed: int = 0, *, straight: bool = False) -> np.ndarray:
    generator = np.random.default_rng(seed)
    positions = np.cumsum(generator.normal(0.0, 0.3, (count, 3)), axis=0)
    if straight:
        positions = np.outer(np.linspace(0.0, 5.0, count), [0.6, 0.8, 0.0])
    rotations = transforms.rotation_from_rotvec(generator.normal(0.0, 1.0, (count, 3)))
    return transforms.transform_from(rotations, positions)


def moved(poses: np.ndarray, scale: float = 1.0, *, position: float = 0.0, degrees: float = 0.0,
          seed: int = 5) -> np.ndarray:  # fmt: skip
    generator = np.random.default_rng(seed)
    truth = PoseAlignment(scale, TURN, SHIFT, np.zeros(0), np.zeros(0), np.zeros(0, np.bool_), 0.0)
    goals = truth.apply_to_poses(poses)
    goals[:, :3, 3] += generator.normal(0.0, position, (len(poses), 3))
    turns = generator.normal(0.0, np.radians(degrees), (len(poses), 3))
    goals[:, :3, :3] = goals[:, :3, :3] @ transforms.rotation_from_rotvec(turns)
    return goals


TURN = transforms.rotation_from_rotvec([0.1, -0.3, 2.0])
SHIFT = np.array([10.0, -4.0, 1.0])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.05, 20.0), count=st.integers(3, 30))
def test_exact_poses_are_recovered(seed: int, scale: float, count: int) -> None:
    poses = walk(count, seed)
    found = align_poses(poses, moved(poses, scale), with_scale=True, **LIMITS)
    assert found.scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(found.rotation, TURN, atol=1e-6)
    assert found.position_residuals.max() < 1e-5 * max(scale, 1.0)
    assert found.inliers.all()
    np.testing.assert_allclose(
        found.apply_to_poses(poses), moved(poses, scale), atol=1e-4 * max(scale, 1.0)
    )


@pytest.mark.parametrize('with_scale', [False, True])
@pytest.mark.parametrize('straight', [False, True])
def test_noise_and_a_third_of_wrong_poses(straight: bool, with_scale: bool) -> None:
    poses = walk(60, straight=straight)
    goals = moved(poses, 3.0 if with_scale else 1.0, position=0.05, degrees=1.0)
    goals[::3] = walk(20, seed=9)
    found = align_poses(poses, goals, with_scale=with_scale, **LIMITS)
    assert not found.inliers[::3].any()
    assert found.inliers.sum() >= 38
    assert np.degrees(transforms.rotation_angle(found.rotation @ TURN.T)) < 0.7
    assert found.scale == pytest.approx(3.0 if with_scale else 1.0, rel=0.02)
    if with_scale:
        assert abs(found.scale / 3.0 - 1.0) < 3.0 * found.scale_sigma
    assert np.median(found.position_residuals[found.inliers]) < 0.12


def test_one_place_has_no_scale() -> None:
    poses = walk(10)
    poses[:, :3, 3] = 1.0
    with pytest.raises(ValueError, match='no two poses agree'):
        align_poses(poses, moved(poses), with_scale=True, **LIMITS)
    rigid = align_poses(poses, moved(poses), **LIMITS)
    assert rigid.position_residuals.max() < 1e-9


def test_poses_that_have_nothing_to_do_with_each_other() -> None:
    with pytest.raises(ValueError, match='no two poses agree'):
        align_poses(walk(60), walk(60, seed=7), **LIMITS)


def test_too_few_poses() -> None:
    with pytest.raises(ValueError, match='cannot be aligned'):
        align_poses(walk(1), walk(1), **LIMITS)
