"""Poses tied by odometry are refined together, and know how sure the newest one is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from cameras import CAMERAS
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.pose_chain import (
    Tie,
    View,
    project_view,
    refine_chain,
    refine_rig,
    tie_jacobians,
    tie_residuals,
)

Array = NDArray[np.float64]
CAMERA = CAMERAS['OPENCV']
MOUNTING = transforms.transform_from(
    transforms.rotation_from_rotvec([0.3, -0.2, 0.8]), [0.2, -0.5, 0.1]
)


def random_pose(random: np.random.Generator, spread: float = 1.0) -> Array:
    return transforms.transform_from(
        transforms.rotation_from_rotvec(random.normal(0.0, 0.3 * spread, 3)),
        random.normal(0.0, spread, 3),
    )


def disturbed(pose: Array, change: Array) -> Array:
    rotation = transforms.rotation_from_rotvec(change[3:]) @ pose[:3, :3]
    return transforms.transform_from(rotation, pose[:3, 3] + change[:3])


def round_noise(count: int, sigma_px: float) -> Array:
    """Return covariances that are the same along both axes of the image."""
    return np.tile(sigma_px**2 * np.eye(2), (count, 1, 1))


def view_of(
    map_from_rig: Array, mounting: Array, count: int, random: np.random.Generator, noise_px: float
) -> View:
    """Return noisy matches of points 2 to 8 m before a camera on a rig."""
    size = np.array(CAMERA.image_size)
    keypoints = random.uniform(0.1 * size, 0.9 * size, (count, 2))
    rays = np.concatenate([CAMERA.normalise(keypoints), np.ones((count, 1))], axis=1)
    points = transforms.apply(map_from_rig @ mounting, rays * random.uniform(2, 8, (count, 1)))
    noisy = keypoints + random.normal(0.0, noise_px, keypoints.shape)
    return View(CAMERA, mounting, noisy, points, round_noise(count, max(noise_px, 1e-3)))


@pytest.mark.parametrize('model', ['OPENCV', 'OPENCV_FISHEYE', 'THIN_PRISM_FISHEYE'])
def test_jacobian_of_a_mounted_camera_is_what_small_motions_show(model: str) -> None:
    random = np.random.default_rng(3)
    pose = random_pose(random)
    view = view_of(pose, MOUNTING, 20, random, 0.0)
    view = View(CAMERAS[model], MOUNTING, view.keypoints, view.points, view.noise_px)
    _, analytic = project_view(view, pose)
    for axis, change in enumerate(np.eye(6) * 1e-6):
        ahead, behind = (project_view(view, disturbed(pose, s * change))[0] for s in (1.0, -1.0))
        np.testing.assert_allclose(analytic[:, :, axis], (ahead - behind) / 2e-6, atol=2e-3)


def test_jacobian_of_a_tie_is_what_small_motions_show() -> None:
    random = np.random.default_rng(4)
    poses = np.stack([random_pose(random) for _ in range(3)])
    ties = [
        # Odometry that is off by a little: the derivative is taken to first order in that.
        Tie(transforms.invert(a) @ b @ random_pose(random, 0.02), 0.02, 0.01)
        for a, b in pairwise(poses)
    ]
    analytic = tie_jacobians(ties, poses)
    for moved in range(3):
        for axis, change in enumerate(np.eye(6) * 1e-6):
            sides = []
            for sign in (1.0, -1.0):
                trial = poses.copy()
                trial[moved] = disturbed(poses[moved], sign * change)
                sides.append(tie_residuals(ties, trial))
            numeric = (sides[0] - sides[1]) / 2e-6
            for tie in range(2):
                column = 6 * (moved - tie) + axis
                expected = analytic[tie][:, column] if 0 <= column < 12 else np.zeros(6)
                np.testing.assert_allclose(numeric[tie], expected, atol=2e-2)


def test_covariance_of_a_rig_is_the_scatter_of_its_poses() -> None:
    random = np.random.default_rng(5)
    truth = random_pose(random)
    errors, covariances = [], []
    for _ in range(300):
        views = [view_of(truth, mounting, 25, random, 0.7) for mounting in (np.eye(4), MOUNTING)]
        found = refine_rig(views, disturbed(truth, random.normal(0.0, 0.01, 6)))
        assert found is not None
        moved = found.map_from_rig[:3, :3] @ truth[:3, :3].T
        errors.append(
            [
                *(found.map_from_rig[:3, 3] - truth[:3, 3]),
                *transforms.rotvec_from_rotation(moved),
            ]
        )
        covariances.append(found.covariance)
    nees = [e @ np.linalg.solve(c, e) for e, c in zip(np.array(errors), covariances, strict=True)]
    # Nothing errs alike here, against which half of the variance guards.
    assert 2.5 < np.mean(nees) < 6.0
    sigmas = np.sqrt(np.mean(covariances, axis=0).diagonal())
    np.testing.assert_allclose(np.std(errors, axis=0), 0.7 * sigmas, rtol=0.2)


def chain(
    tie_sigma: float, seed: int = 6, drift: float = 0.0
) -> tuple[list[list[View]], list[Tie], list[Array]]:
    """Return four poses of which only the oldest sees anything, with odometry to the newest."""
    random = np.random.default_rng(seed)
    poses = [random_pose(random)]
    ties = []
    for _ in range(3):
        step = transforms.transform_from(
            transforms.rotation_from_rotvec(random.normal(0, 0.1, 3)), [0.3, 0.0, 0.1]
        )
        poses.append(poses[-1] @ step)
        off = disturbed(np.eye(4), random.normal(0.0, drift, 6))
        ties.append(Tie(step @ off, tie_sigma, tie_sigma))
    return [[view_of(poses[0], np.eye(4), 40, random, 0.5)], [], [], []], ties, poses


def test_uncertainty_of_odometry_reaches_the_newest_pose() -> None:
    tight, loose = (refine_chain(*chain(sigma)[:2], chain(sigma)[2]) for sigma in (0.001, 0.02))
    assert tight is not None
    assert loose is not None
    sigma = np.sqrt(loose.covariance.diagonal())
    assert (sigma > 0.02 * np.sqrt(3.0)).all()
    assert (sigma[:3] < 0.2).all()
    assert (np.sqrt(tight.covariance.diagonal()) < 0.3 * sigma).all()


def test_covariance_of_a_chain_is_the_scatter_of_its_newest_pose() -> None:
    nees = []
    for seed in range(150):
        moments, ties, truth = chain(0.01, seed=seed, drift=0.01)
        found = refine_chain(moments, ties, truth)
        assert found is not None
        turn = found.map_from_rig[:3, :3] @ truth[-1][:3, :3].T
        error = np.concatenate(
            [found.map_from_rig[:3, 3] - truth[-1][:3, 3], transforms.rotvec_from_rotation(turn)]
        )
        nees.append(error @ np.linalg.solve(found.covariance, error))
    assert 4.5 < np.mean(nees) < 7.5


def test_newest_frame_bends_odometry_that_was_wrong() -> None:
    moments, ties, truth = chain(0.02)
    random = np.random.default_rng(8)
    moments[-1] = [view_of(truth[-1], np.eye(4), 40, random, 0.5)]
    off = transforms.transform_from(np.eye(3), [0.05, 0.0, 0.0])
    ties[1] = Tie(ties[1].older_from_newer @ off, 0.02, 0.02)
    found = refine_chain(moments, ties, truth)
    assert found is not None
    assert transforms.pose_distance(found.map_from_rig, truth[-1])[0] < 0.02


def test_a_long_error_counts_as_little_as_its_direction_is_uncertain() -> None:
    """Points known badly along one axis of the image must not pull, and widen the covariance."""
    random = np.random.default_rng(9)
    truth = random_pose(random)
    long, nees = np.diag([8.0**2, 0.5**2]), []
    errors: dict[str, list[float]] = {'known': [], 'averaged': []}
    for _ in range(60):
        exact = view_of(truth, np.eye(4), 60, random, 0.0)
        keypoints = exact.keypoints + random.normal(0.0, 1.0, (60, 2)) * np.sqrt(long.diagonal())
        average = np.sqrt(0.5 * np.trace(long))
        for name, noise in (('known', np.tile(long, (60, 1, 1))),
                            ('averaged', round_noise(60, average))):  # fmt: skip
            view = View(CAMERA, exact.rig_from_camera, keypoints, exact.points, noise)
            found = refine_rig([view], truth)
            assert found is not None
            errors[name].append(float(transforms.pose_distance(found.map_from_rig, truth)[0]))
            if name == 'known':
                turn = transforms.rotvec_from_rotation(found.map_from_rig[:3, :3] @ truth[:3, :3].T)
                error = np.concatenate([found.map_from_rig[:3, 3] - truth[:3, 3], turn])
                nees.append(error @ np.linalg.solve(found.covariance, error))
    assert np.median(errors['known']) < 0.5 * np.median(errors['averaged'])
    assert 3.0 < np.mean(nees) < 7.5


def test_too_little_to_go_by_gives_no_pose() -> None:
    moments, ties, poses = chain(0.01)
    few = moments[0][0].subset(np.arange(3))
    assert refine_chain([[few], [], [], []], ties, poses) is None
    assert refine_rig([], np.eye(4)) is None
    with pytest.raises(ValueError, match='4 moments, 2 ties, 4 poses'):
        refine_chain(moments, ties[:2], poses)
