"""Alignment recovers known motions, resists wrong points and says when it cannot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.alignment import (
    align_points,
    align_points_robustly,
)

seeds = st.integers(0, 2**31)


def motion(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rotation = transforms.rotation_from_rotvec(generator.normal(size=3))
    return rotation, generator.normal(scale=5.0, size=3)


@given(seeds, st.floats(0.05, 20.0))
def test_a_known_similarity_is_recovered(seed, scale):
    rotation, translation = motion(seed)
    source = np.random.default_rng(seed + 1).normal(size=(12, 3))
    target = scale * source @ rotation.T + translation
    found = align_points(source, target, with_scale=True)
    assert found.scale == pytest.approx(scale, rel=1e-9)
    assert np.allclose(found.rotation, rotation, atol=1e-9)
    assert np.allclose(found.translation, translation, atol=1e-8)
    assert found.residuals.max() < 1e-7
    assert np.allclose(transforms.apply(found.target_from_source, source), target, atol=1e-7)
    moved = found.apply_to_poses(transforms.transform_from(np.eye(3), source))
    assert np.allclose(moved[:, :3, 3], target, atol=1e-7)
    assert np.allclose(moved[:, :3, :3], rotation, atol=1e-9)


@given(seeds)
def test_points_of_a_plane_give_a_rotation_not_a_mirror(seed):
    rotation, translation = motion(seed)
    source = np.random.default_rng(seed + 1).normal(size=(8, 3)) * [1.0, 1.0, 0.0]
    found = align_points(source, source @ rotation.T + translation)
    assert np.allclose(found.rotation, rotation, atol=1e-8)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_mirrored_points_are_not_answered_with_a_mirror():
    source = np.random.default_rng(3).normal(size=(30, 3))
    found = align_points(source, source * [1.0, 1.0, -1.0])
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)
    assert np.sqrt(np.mean(found.residuals**2)) > 0.5


@given(seeds)
def test_no_other_motion_fits_better(seed):
    generator = np.random.default_rng(seed)
    source = generator.normal(size=(10, 3))
    target = source + generator.normal(scale=0.3, size=(10, 3))
    found = align_points(source, target, with_scale=True)
    for _ in range(5):
        rotation = found.rotation @ transforms.rotation_from_rotvec(generator.normal(0, 1e-3, 3))
        scale = found.scale * (1.0 + generator.normal(0, 1e-3))
        translation = found.translation + generator.normal(0, 1e-3, 3)
        other = np.linalg.norm(scale * source @ rotation.T + translation - target, axis=1)
        assert np.sum(other**2) >= np.sum(found.residuals**2)


def test_weight_zero_leaves_a_point_out():
    rotation, translation = motion(5)
    source = np.random.default_rng(6).normal(size=(10, 3))
    target = source @ rotation.T + translation
    target[0] += 100.0
    found = align_points(source, target, weights=[0.0] + [1.0] * 9)
    assert np.allclose(found.rotation, rotation, atol=1e-9)
    assert found.inliers.tolist() == [False] + [True] * 9


@given(seeds, st.booleans())
def test_wrong_correspondences_do_not_bend_the_robust_alignment(seed, with_scale):
    rotation, translation = motion(seed)
    generator = np.random.default_rng(seed + 1)
    scale = 2.5 if with_scale else 1.0
    source = generator.uniform(-5.0, 5.0, size=(60, 3))
    target = scale * source @ rotation.T + translation + generator.normal(0, 0.01, (60, 3))
    target[:24] += generator.uniform(2.0, 9.0, (24, 3)) * generator.choice([-1, 1], (24, 3))
    found = align_points_robustly(source, target, max_error=0.06, with_scale=with_scale, seed=seed)
    assert not found.inliers[:24].any()
    assert found.inliers[24:].mean() > 0.9
    assert transforms.rotation_angle(found.rotation.T @ rotation) < np.radians(0.2)
    assert np.linalg.norm(found.translation - translation) < 0.02
    assert np.sqrt(np.mean(found.residuals[found.inliers] ** 2)) < 0.03
    assert found.residuals[:24].min() > 1.0


def test_the_same_seed_gives_the_same_alignment():
    generator = np.random.default_rng(8)
    source, target = generator.normal(size=(40, 3)), generator.normal(size=(40, 3))
    target[:20] = source[:20]
    first = align_points_robustly(source, target, max_error=0.05, seed=4)
    second = align_points_robustly(source, target, max_error=0.05, seed=4)
    assert np.array_equal(first.target_from_source, second.target_from_source)
    assert first.inliers[:20].all()


def test_points_that_fix_no_rotation_are_refused():
    line = np.outer(np.arange(5.0), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match='one line'):
        align_points(line, line)
    with pytest.raises(ValueError, match='three points'):
        align_points(np.eye(3)[:2], np.eye(3)[:2])
    with pytest.raises(ValueError, match='do not correspond'):
        align_points(np.eye(3), np.ones((4, 3)))
    with pytest.raises(ValueError, match='no three points agree'):
        align_points_robustly(line, line, max_error=0.1)
