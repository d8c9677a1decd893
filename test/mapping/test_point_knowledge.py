"""How well points are known: across their rays by keypoints, along them by baselines and depth."""

from __future__ import annotations

import numpy as np
import pytest

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import packed_symmetric, unpacked_symmetric
from hloc_localizer.mapping.extraction import depths_at
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.point_knowledge import know_points, ray_information
from hloc_localizer.mapping.tracks import Tracks

CAMERA = Camera('PINHOLE', 640, 480, (500.0, 500.0, 319.5, 239.5))


def seen_by(positions: list[list[float]], point: list[float]) -> tuple[Tracks, np.ndarray]:
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 3] = positions
    count = len(positions)
    tracks = Tracks(
        points=np.array([point]),
        image=np.arange(count, dtype=np.int32),
        keypoint=np.zeros(count, np.int32),
        point=np.zeros(count, np.int32),
    )
    return tracks, poses


def largest_sigmas(tracks: Tracks, poses: np.ndarray, sigma_px: float = 1.0) -> np.ndarray:
    information = ray_information(tracks, [CAMERA] * len(poses), poses, sigma_px=sigma_px)
    return 1.0 / np.sqrt(np.linalg.eigvalsh(information)[:, 0])


@pytest.mark.parametrize('half_baseline', [0.05, 0.3, 1.0])
def test_sigma_of_two_views_is_that_of_the_stereo_formula(half_baseline: float) -> None:
    depth = 4.0
    tracks, poses = seen_by([[-half_baseline, 0, 0], [half_baseline, 0, 0]], [0.0, 0.0, depth])
    sigma = largest_sigmas(tracks, poses)
    # Each ray knows its direction to 1 / f; along the bisector the information of both is
    # 2 sin^2 / (distance / f)^2 with the half angle between the rays.
    distance = np.hypot(depth, half_baseline)
    along_depth = distance / CAMERA.focal_px / (np.sqrt(2.0) * half_baseline / distance)
    np.testing.assert_allclose(sigma, [along_depth], rtol=1e-4)


def test_narrow_baseline_gives_the_textbook_depth_error() -> None:
    tracks, poses = seen_by([[-0.05, 0, 0], [0.05, 0, 0]], [0.0, 0.0, 4.0])
    textbook = (
        4.0**2 / (500.0 * 0.1) * np.sqrt(2.0)
    )  # z^2 / (f b) of a disparity of two pixels' noise
    np.testing.assert_allclose(largest_sigmas(tracks, poses), [textbook], rtol=1e-3)


def test_sigma_grows_with_the_noise_and_falls_with_the_views() -> None:
    two, two_poses = seen_by([[-0.5, 0, 0], [0.5, 0, 0]], [0.3, 0.1, 5.0])
    eight, eight_poses = seen_by([[-0.5, 0, 0], [0.5, 0, 0]] * 4, [0.3, 0.1, 5.0])
    one = largest_sigmas(two, two_poses)
    np.testing.assert_allclose(largest_sigmas(two, two_poses, 3.0), 3.0 * one, rtol=1e-5)
    np.testing.assert_allclose(largest_sigmas(eight, eight_poses), 0.5 * one, rtol=1e-5)


def test_sigma_is_the_scatter_of_triangulated_points() -> None:
    centres = np.array([[-0.6, 0.1, 0.0], [0.0, 0.0, 0.3], [0.7, -0.1, 0.1]])
    truth = np.array([0.4, -0.3, 5.0])
    tracks, poses = seen_by(centres.tolist(), truth.tolist())
    random = np.random.default_rng(0)
    solved = []
    for _ in range(2000):
        normal, right = np.zeros((3, 3)), np.zeros(3)
        for centre in centres:
            distance = np.linalg.norm(truth - centre)
            ray = (truth - centre) / distance
            # Noise of one pixel across the ray.
            noise = np.cross(ray, random.normal(size=3)) / CAMERA.focal_px
            noisy = ray + noise
            noisy /= np.linalg.norm(noisy)
            across = (np.eye(3) - np.outer(noisy, noisy)) / distance**2
            normal += across
            right += across @ centre
        solved.append(np.linalg.solve(normal, right))
    scatter = np.sqrt(np.linalg.eigvalsh(np.cov(np.array(solved).T))[-1])
    (sigma,) = largest_sigmas(tracks, poses)
    assert scatter == pytest.approx(float(sigma), rel=0.1)


def test_a_point_seen_once_is_known_badly() -> None:
    tracks, poses = seen_by([[0, 0, 0]], [0.0, 0.0, 3.0])
    assert largest_sigmas(tracks, poses)[0] > 100.0


def images_with_depths(depths: list[float], poses: np.ndarray) -> list[MapImage]:
    """Return images whose only keypoint has a depth."""
    features = LocalFeatures(
        keypoints=np.zeros((1, 2), np.float32),
        descriptors=np.zeros((1, 128), np.float32),
        scores=np.ones(1, np.float32),
        scales=np.ones(1, np.float32),
        image_size=CAMERA.image_size,
    )
    return [
        MapImage(
            name=f'{index}.jpg',
            stamp_ns=index,
            camera=0,
            map_from_camera=pose,
            features=features,
            plane=np.zeros((1, 2)),
            colors=np.zeros((1, 3), np.uint8),
            depths=np.array([depth], np.float32),
        )
        for index, (depth, pose) in enumerate(zip(depths, poses, strict=True))
    ]


def known(depths: list[float], half_baseline: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a point triangulated 0.3 m too far at 4.3 m, and its covariance, with depths."""
    tracks, poses = seen_by([[-half_baseline, 0, 0], [half_baseline, 0, 0]], [0.0, 0.0, 4.3])
    images = images_with_depths(depths, poses)
    moved, covariance = know_points(tracks, images, [CAMERA], poses, sigma_px=1.0)
    return moved.points[0], covariance[0]


def test_depth_moves_a_point_that_rays_leave_open_and_makes_it_sure() -> None:
    point, covariance = known([4.0, 4.0], half_baseline=0.02)
    assert point[2] == pytest.approx(4.0, abs=0.03)
    # Two depths of 3 % of 4 m.
    assert np.sqrt(covariance[2, 2]) == pytest.approx(0.12 / np.sqrt(2.0), rel=0.05)
    assert np.sqrt(covariance[0, 0]) == pytest.approx(4.3 / 500.0 / np.sqrt(2.0), rel=0.05)


def test_depth_hardly_moves_a_point_that_rays_know_better() -> None:
    point, _ = known([4.2, 4.2], half_baseline=1.0)
    assert point[2] == pytest.approx(4.3, abs=0.01)


def test_depth_of_something_else_and_unknown_depth_change_nothing() -> None:
    for depths in ([2.0, 2.0], [np.nan, np.nan]):
        point, covariance = known(depths, half_baseline=0.3)
        np.testing.assert_allclose(point, [0.0, 0.0, 4.3])
        tracks, poses = seen_by([[-0.3, 0, 0], [0.3, 0, 0]], [0.0, 0.0, 4.3])
        alone = np.linalg.inv(ray_information(tracks, [CAMERA] * 2, poses, sigma_px=1.0))[0]
        np.testing.assert_allclose(covariance, alone)


def test_depth_at_keypoints_is_unknown_at_edges_and_holes() -> None:
    depth = np.full((20, 30), 2.0, np.float32)
    depth[:, 15:] = 3.0
    depth[10, 5] = np.nan
    keypoints = np.array([[3.2, 3.4], [14.6, 8.0], [5.0, 11.0], [29.4, 19.4], [0.0, 0.0]])
    found = depths_at(keypoints.astype(np.float32), depth)
    np.testing.assert_array_equal(found, np.array([2.0, np.nan, np.nan, 3.0, 2.0], np.float32))


def test_symmetric_matrices_survive_packing() -> None:
    random = np.random.default_rng(0).normal(size=(5, 3, 3))
    matrices = random @ random.transpose(0, 2, 1)
    packed = packed_symmetric(matrices)
    assert packed.shape == (5, 6)
    np.testing.assert_array_equal(unpacked_symmetric(packed), matrices)
