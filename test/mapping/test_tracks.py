"""Tracks of a reconstruction, and how well their points are known."""

from __future__ import annotations

import numpy as np
import pytest

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.tracks import Tracks, point_sigmas, tracks_of

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


@pytest.mark.parametrize('half_baseline', [0.05, 0.3, 1.0])
def test_sigma_of_two_views_is_that_of_the_stereo_formula(half_baseline: float) -> None:
    depth = 4.0
    tracks, poses = seen_by([[-half_baseline, 0, 0], [half_baseline, 0, 0]], [0.0, 0.0, depth])
    sigma = point_sigmas(tracks, [CAMERA] * 2, poses)
    # Each ray knows its direction to 1 / f; along the bisector the information of both is
    # 2 sin^2 / (distance / f)^2 with the half angle between the rays.
    distance = np.hypot(depth, half_baseline)
    along_depth = distance / CAMERA.focal_px / (np.sqrt(2.0) * half_baseline / distance)
    assert sigma.dtype == np.float32
    np.testing.assert_allclose(sigma, [along_depth], rtol=1e-4)


def test_narrow_baseline_gives_the_textbook_depth_error() -> None:
    tracks, poses = seen_by([[-0.05, 0, 0], [0.05, 0, 0]], [0.0, 0.0, 4.0])
    textbook = (
        4.0**2 / (500.0 * 0.1) * np.sqrt(2.0)
    )  # z^2 / (f b) of a disparity of two pixels' noise
    np.testing.assert_allclose(point_sigmas(tracks, [CAMERA] * 2, poses), [textbook], rtol=1e-3)


def test_sigma_grows_with_the_noise_and_falls_with_the_views() -> None:
    two, two_poses = seen_by([[-0.5, 0, 0], [0.5, 0, 0]], [0.3, 0.1, 5.0])
    eight, eight_poses = seen_by([[-0.5, 0, 0], [0.5, 0, 0]] * 4, [0.3, 0.1, 5.0])
    one = point_sigmas(two, [CAMERA] * 2, two_poses)
    np.testing.assert_allclose(
        point_sigmas(two, [CAMERA] * 2, two_poses, sigma_px=3.0), 3.0 * one, rtol=1e-5
    )
    np.testing.assert_allclose(point_sigmas(eight, [CAMERA] * 8, eight_poses), 0.5 * one, rtol=1e-5)


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
    (sigma,) = point_sigmas(tracks, [CAMERA] * 3, poses)
    assert scatter == pytest.approx(float(sigma), rel=0.1)


def test_a_point_seen_once_is_known_badly() -> None:
    tracks, poses = seen_by([[0, 0, 0]], [0.0, 0.0, 3.0])
    assert point_sigmas(tracks, [CAMERA], poses)[0] > 100.0


def test_tracks_of_a_reconstruction_are_sorted_and_complete() -> None:
    pycolmap = pytest.importorskip('pycolmap')
    from synthetic_scene import make_scene

    from hloc_localizer.mapping.reconstruction import posed_reconstruction

    scene = make_scene(images=3, points=40)
    reconstruction = posed_reconstruction(scene.images, [CAMERA], list(scene.poses))
    expected = []
    for index, point in enumerate((7, 3, 20)):
        track = pycolmap.Track()
        for image in (2, 0, 1):
            keypoint = int(np.flatnonzero(scene.point_of[image] == point)[0])
            track.add_element(image + 1, keypoint)
            expected.append((image, keypoint, index))
        reconstruction.add_point3D(scene.points[point], track)
    tracks = tracks_of(reconstruction)
    np.testing.assert_array_equal(tracks.points, scene.points[[7, 3, 20]])
    found = list(zip(tracks.image, tracks.keypoint, tracks.point, strict=True))
    assert found == sorted(expected)
    empty = tracks_of(posed_reconstruction(scene.images, [CAMERA], list(scene.poses)))
    assert empty.points.shape == (0, 3)
    assert len(empty.image) == 0
