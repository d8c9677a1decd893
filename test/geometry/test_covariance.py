"""A covariance that is moved along a rigid body stays true to what sampled poses show."""

from __future__ import annotations

import numpy as np
import pytest

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.covariance import moved_along_body


@pytest.fixture
def poses() -> tuple[np.ndarray, np.ndarray]:
    map_from_camera = transforms.transform_from(
        transforms.rotation_from_rotvec([0.4, -1.1, 0.7]), [2.0, -1.0, 0.5]
    )
    camera_from_base = transforms.transform_from(
        transforms.rotation_from_rotvec([-0.9, 0.2, 1.4]), [0.3, 0.8, -1.2]
    )
    return map_from_camera, map_from_camera @ camera_from_base


def _covariance() -> np.ndarray:
    random = np.random.default_rng(4)
    root = np.diag([0.02, 0.05, 0.01, 0.006, 0.012, 0.02]) @ random.normal(size=(6, 6))
    return np.asarray(root @ root.T)


def test_moved_covariance_agrees_with_sampled_poses(poses: tuple[np.ndarray, np.ndarray]) -> None:
    map_from_camera, map_from_base = poses
    covariance = _covariance()
    errors = np.random.default_rng(0).multivariate_normal(np.zeros(6), covariance, 200_000)
    rotations = transforms.rotation_from_rotvec(errors[:, 3:])
    cameras = transforms.transform_from(
        rotations @ map_from_camera[:3, :3], map_from_camera[:3, 3] + errors[:, :3]
    )
    bases = cameras @ (transforms.invert(map_from_camera) @ map_from_base)
    turned = bases[:, :3, :3] @ map_from_base[:3, :3].T
    sampled = np.concatenate(
        [bases[:, :3, 3] - map_from_base[:3, 3], transforms.rotvec_from_rotation(turned)], axis=1
    )
    scale = np.sqrt(np.diag(np.cov(sampled.T)))
    difference = moved_along_body(covariance, map_from_camera, map_from_base) - np.cov(sampled.T)
    assert np.abs(difference / np.outer(scale, scale)).max() < 0.02


def test_moving_there_and_back_changes_nothing(poses: tuple[np.ndarray, np.ndarray]) -> None:
    covariance = _covariance()
    there = moved_along_body(covariance, poses[0], poses[1])
    np.testing.assert_allclose(moved_along_body(there, poses[1], poses[0]), covariance, atol=1e-12)
    assert not np.allclose(there, covariance)


def test_yaw_uncertainty_moves_a_base_behind_the_camera_sideways() -> None:
    camera, base = np.eye(4), np.eye(4)
    base[0, 3] = -2.0
    covariance = np.zeros((6, 6))
    covariance[5, 5] = 0.01**2
    moved = moved_along_body(covariance, camera, base)
    np.testing.assert_allclose(np.diag(moved)[:3], [0.0, 0.02**2, 0.0], atol=1e-15)
    assert moved[1, 5] == pytest.approx(-2.0 * 0.01**2)
