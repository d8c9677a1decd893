"""Poses from 2D-3D matches: found among outliers, refined to the minimum, sure as they say."""

from __future__ import annotations

import numpy as np
import pytest
from cameras import CAMERAS
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.absolute_pose import (
    AbsolutePoseOptions,
    RefinedPose,
    estimate_absolute_pose,
    refine_absolute_pose,
    reprojection_jacobian,
    reprojection_residuals,
    whitening_of,
)
from hloc_localizer.geometry.camera import Camera

Array = NDArray[np.float64]
OPTIONS = AbsolutePoseOptions()
# Far from the origin of the map, as in a map of a whole building or in UTM coordinates.
POSE = transforms.transform_from(
    transforms.rotation_from_rotvec([0.4, -1.1, 0.7]), [3200.0, -1400.0, 12.0]
)


def scene(camera: Camera, count: int, seed: int = 0) -> tuple[Array, Array]:
    """Return exact keypoints all over the middle of the image, and their points 2 to 8 m away."""
    random = np.random.default_rng(seed)
    size = np.array(camera.image_size)
    keypoints = random.uniform(0.15 * size, 0.85 * size, (count, 2))
    plane = camera.normalise(keypoints)
    depth = random.uniform(2.0, 8.0, (count, 1))
    return keypoints, transforms.apply(
        POSE, np.concatenate([plane, np.ones_like(depth)], 1) * depth
    )


def with_outliers(
    camera: Camera, keypoints: Array, share: float, seed: int = 1
) -> tuple[Array, NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    wrong = random.random(len(keypoints)) < share
    anywhere = random.uniform([0, 0], camera.image_size, keypoints.shape)
    wrong &= np.linalg.norm(anywhere - keypoints, axis=1) > 30.0
    noisy = keypoints + random.normal(0.0, 0.5, keypoints.shape)
    return np.where(wrong[:, None], anywhere, noisy), wrong


@pytest.mark.parametrize('model', CAMERAS)
def test_estimate_finds_the_pose_among_half_outliers(model: str) -> None:
    camera = CAMERAS[model]
    keypoints, points = scene(camera, 200)
    keypoints, wrong = with_outliers(camera, keypoints, 0.5)
    assert wrong.sum() > 70
    found = estimate_absolute_pose(camera, keypoints, points, OPTIONS)
    assert found is not None
    distance, angle = transforms.pose_distance(found[0], POSE)
    assert distance < 0.03
    assert np.degrees(angle) < 0.5
    assert not (found[1] & wrong).any()
    assert (found[1] & ~wrong).sum() >= 0.95 * (~wrong).sum()


def test_estimate_gives_the_same_pose_for_the_same_input() -> None:
    camera = CAMERAS['OPENCV']
    keypoints, points = scene(camera, 150)
    keypoints, _ = with_outliers(camera, keypoints, 0.6)
    first = estimate_absolute_pose(camera, keypoints, points, OPTIONS)
    second = estimate_absolute_pose(camera, keypoints.copy(), points.copy(), OPTIONS)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_estimate_ignores_keypoints_that_the_camera_cannot_have() -> None:
    camera = CAMERAS['FISHEYE']
    keypoints, points = scene(camera, 60)
    keypoints[:5] = [-5000.0, -5000.0]  # more than 90 degrees off the axis
    assert np.isnan(camera.normalise(keypoints[:5])).all()
    found = estimate_absolute_pose(camera, keypoints, points, OPTIONS)
    assert found is not None
    assert not found[1][:5].any()
    assert found[1][5:].all()
    assert transforms.pose_distance(found[0], POSE)[0] < 1e-3


def test_estimate_gives_no_pose_where_there_is_none_to_find() -> None:
    camera = CAMERAS['PINHOLE']
    keypoints, points = scene(camera, 40)
    nothing = np.zeros((0, 2)), np.zeros((0, 3))
    assert estimate_absolute_pose(camera, *nothing, OPTIONS) is None
    assert estimate_absolute_pose(camera, keypoints[:3], points[:3], OPTIONS) is None
    same = np.repeat(points[:1], 40, axis=0)
    assert estimate_absolute_pose(camera, keypoints, same, OPTIONS) is None


@pytest.mark.parametrize('model', CAMERAS)
def test_jacobian_is_what_small_motions_show(model: str) -> None:
    camera = CAMERAS[model]
    keypoints, points = scene(camera, 30)
    points, pose = points - POSE[:3, 3], POSE.copy()
    pose[:3, 3] = 0.0
    analytic = reprojection_jacobian(camera, pose, points)
    numeric = np.empty_like(analytic)
    step = 1e-6
    for axis, change in enumerate(np.eye(6) * step):
        moved = [
            transforms.transform_from(
                transforms.rotation_from_rotvec(sign * change[3:]) @ pose[:3, :3],
                pose[:3, 3] + sign * change[:3],
            )
            for sign in (1.0, -1.0)
        ]
        ahead, behind = (reprojection_residuals(camera, one, keypoints, points) for one in moved)
        numeric[:, :, axis] = (ahead - behind) / (2.0 * step)
    assert np.abs(analytic).max() > 50.0
    np.testing.assert_allclose(analytic, numeric, atol=1e-4 * np.abs(analytic).max())


def refined(
    camera: Camera, keypoints: Array, points: Array, sigma_px: float, start: Array = POSE
) -> RefinedPose:
    noise = np.tile(sigma_px**2 * np.eye(2), (len(keypoints), 1, 1))
    pose = refine_absolute_pose(camera, start, keypoints, points, noise_px=noise)
    assert pose is not None
    return pose


@pytest.mark.parametrize('model', ['OPENCV', 'FULL_OPENCV', 'OPENCV_FISHEYE'])
def test_refining_exact_matches_ends_at_the_true_pose(model: str) -> None:
    camera = CAMERAS[model]
    keypoints, points = scene(camera, 80)
    start = transforms.transform_from(
        transforms.rotation_from_rotvec([0.03, -0.02, 0.02]) @ POSE[:3, :3],
        POSE[:3, 3] + [0.1, -0.08, 0.12],
    )
    pose = refined(camera, keypoints, points, 1.0, start)
    distance, angle = transforms.pose_distance(pose.map_from_camera, POSE)
    assert distance < 1e-4
    assert angle < 1e-4
    assert (
        np.abs(reprojection_residuals(camera, pose.map_from_camera, keypoints, points)).max() < 0.01
    )


def test_refining_withstands_outliers_that_slipped_through() -> None:
    camera = CAMERAS['OPENCV']
    keypoints, points = scene(camera, 100)
    keypoints += np.random.default_rng(3).normal(0.0, 0.5, keypoints.shape)
    clean = refined(camera, keypoints, points, 0.5)
    keypoints[:10] += 25.0
    robust = refined(camera, keypoints, points, 0.5)
    assert transforms.pose_distance(clean.map_from_camera, robust.map_from_camera)[0] < 0.01
    residuals = reprojection_residuals(camera, robust.map_from_camera, keypoints, points)
    errors = np.linalg.norm(residuals, axis=1)
    assert errors[:10].min() > 25.0
    assert np.median(errors[10:]) < 1.0


def test_points_beyond_the_fold_of_the_distortion_have_no_say() -> None:
    # Its fold is at 1.17 on the plane; at 3 it would put points back into the image.
    camera = Camera('RADIAL', 640, 480, (520.0, 318.0, 242.0, -0.3, 0.025))
    keypoints, points = scene(camera, 60)
    keypoints += np.random.default_rng(4).normal(0.0, 0.5, keypoints.shape)
    beyond = transforms.apply(POSE, np.array([[9.0, 0.3, 3.0], [-0.2, 8.9, 3.0], [9.0, 1.0, 3.0]]))
    seen = np.array([[318.0, 242.0], [400.0, 300.0], [700.0, 242.0]])
    alone = refined(camera, keypoints, points, 0.5)
    more = refined(camera, np.append(keypoints, seen, 0), np.append(points, beyond, 0), 0.5)
    np.testing.assert_allclose(more.map_from_camera, alone.map_from_camera, atol=1e-9)
    np.testing.assert_allclose(more.covariance, alone.covariance, rtol=1e-6)


def test_covariance_is_the_scatter_of_repeated_measurements() -> None:
    camera = CAMERAS['OPENCV']
    exact, points = scene(camera, 80)
    random = np.random.default_rng(5)
    errors, promised = [], []
    for _ in range(400):
        pose = refined(camera, exact + random.normal(0.0, 0.6, exact.shape), points, 0.6)
        turned = pose.map_from_camera[:3, :3] @ POSE[:3, :3].T
        errors.append(
            np.concatenate(
                [
                    pose.map_from_camera[:3, 3] - POSE[:3, 3],
                    transforms.rotvec_from_rotation(turned),
                ]
            )
        )
        promised.append(pose.covariance)
    sampled, mean = np.cov(np.array(errors).T), np.mean(promised, axis=0)
    # Here nothing errs alike, against which half of the promise guards: it is cautious, never bold.
    ratio = np.sqrt(np.diag(mean) / np.diag(sampled))
    assert ratio.min() > 1.2, ratio
    assert ratio.max() < 1.7, ratio
    correlation = [one / np.sqrt(np.outer(np.diag(one), np.diag(one))) for one in (sampled, mean)]
    assert np.abs(correlation[0] - correlation[1]).max() < 0.2


def test_noise_in_one_direction_only_is_believed() -> None:
    camera = CAMERAS['OPENCV']
    exact, points = scene(camera, 80)
    random = np.random.default_rng(8)
    angles = random.uniform(0.0, np.pi, len(exact))
    along = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    noise = (
        8.0**2 * along[:, :, None] * along[:, None] + 0.2**2 * across[:, :, None] * across[:, None]
    )
    errors: list[list[float]] = []
    for _ in range(20):
        size = random.normal(size=(2, len(exact), 1))
        noisy = exact + 8.0 * size[0] * along + 0.2 * size[1] * across
        directed = refine_absolute_pose(camera, POSE, noisy, points, noise_px=noise)
        assert directed is not None
        alike = refined(camera, noisy, points, 5.7)
        errors.append([
            float(transforms.pose_distance(pose.map_from_camera, POSE)[0])
            for pose in (directed, alike)
        ])  # fmt: skip
    assert np.median(errors, axis=0)[0] < 0.2 * np.median(errors, axis=0)[1]


@pytest.mark.parametrize('seed', range(5))
def test_whitening_gives_unit_covariance(seed: int) -> None:
    roots = np.random.default_rng(seed).normal(size=(50, 2, 2)) * 10.0 ** (seed - 2)
    noise = roots @ roots.transpose(0, 2, 1)
    whitening = whitening_of(noise)
    unit = whitening @ noise @ whitening.transpose(0, 2, 1)
    np.testing.assert_allclose(unit, np.tile(np.eye(2), (50, 1, 1)), atol=1e-6)


def test_covariance_follows_the_residuals_and_not_what_was_promised_of_them() -> None:
    camera = CAMERAS['OPENCV']
    exact, points = scene(camera, 80)
    noise = np.random.default_rng(6).normal(size=exact.shape)
    sigmas = {
        promised: np.sqrt(np.diag(refined(camera, exact + noise, points, promised).covariance))
        for promised in (0.5, 1.0, 3.0)
    }
    for promised in (0.5, 3.0):
        ratio = sigmas[promised] / sigmas[1.0]
        assert ratio.min() > 0.7, (promised, ratio)
        assert ratio.max() < 1.4, (promised, ratio)
    # Few matches that fit well, as by chance, promise more, an eighth of the variance, but not
    # all that they seem to: ten more that scatter as promised are supposed.
    few = refined(camera, exact[:8] + 0.01 * noise[:8], points[:8], 1.0)
    jacobian = reprojection_jacobian(camera, few.map_from_camera, points[:8]).reshape(-1, 6)
    promised = np.linalg.inv(jacobian.T @ jacobian)
    ratio = np.diag(few.covariance) / np.diag(promised)
    assert ratio.min() > 0.1, ratio
    assert ratio.max() < 0.2, ratio


def test_points_that_determine_no_pose_give_none() -> None:
    camera = CAMERAS['PINHOLE']
    keypoints, points = scene(camera, 20)
    behind = 2.0 * POSE[:3, 3] - points
    noise = np.tile(np.eye(2), (20, 1, 1))
    assert refine_absolute_pose(camera, POSE, keypoints, behind, noise_px=noise) is None
    keypoints, points = keypoints[:1].repeat(20, 0), points[:1].repeat(20, 0)
    pose = refine_absolute_pose(camera, POSE, keypoints, points, noise_px=noise)
    if pose is not None:  # rounding can make a singular matrix regular: then it must say so
        assert np.sqrt(np.linalg.eigvalsh(pose.covariance)[-1]) > 100.0
