"""A wrong calibration is noticed: beside the map's cameras, and by what the camera sees."""

from __future__ import annotations

import numpy as np
import pytest

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.absolute_pose import refine_absolute_pose
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.calibration_check import (
    FocalEstimate,
    calibration_difference,
    implausible,
)

MAP = Camera('OPENCV', 640, 480, (500.0, 500.0, 319.5, 239.5, 0.05, -0.02, 0.0, 0.0))


def _camera(factor: float = 1.0, k1: float = 0.05, cx: float = 319.5) -> Camera:
    f = 500.0 * factor
    return Camera('OPENCV', 640, 480, (f, f, cx, 239.5, k1, -0.02, 0.0, 0.0))


@pytest.mark.parametrize(
    ('camera', 'said'),
    [
        (_camera(), ''),
        (_camera(1.02), ''),
        (_camera(1.1), 'focal length 550.0 px is 10.0 % more than the 500.0 px'),
        (_camera(0.9), 'focal length 450.0 px is 10.0 % less'),
        (_camera(k1=-0.25), 'distortion or principal point differ'),
        (_camera(cx=350.0), 'distortion or principal point differ'),
        (_camera().scaled(1280, 960), ''),
        (_camera(1.1).scaled(320, 240), '10.0 % more'),
        (Camera('PINHOLE', 640, 360, (900.0, 900.0, 319.5, 179.5)), ''),
    ],
)
def test_a_camera_is_compared_with_those_of_the_map(camera: Camera, said: str) -> None:
    line = calibration_difference(camera, [MAP])
    assert said in line
    assert bool(said) == bool(line)


def test_one_of_several_cameras_of_the_map_is_enough() -> None:
    assert calibration_difference(_camera(1.3), [MAP, _camera(1.3)]) == ''


@pytest.mark.parametrize(
    ('cx', 'plausible'), [(319.5, True), (200.0, True), (0.0, False), (-1.0, False), (639.0, False)]
)
def test_a_principal_point_at_the_edge_is_implausible(cx: float, plausible: bool) -> None:
    assert (implausible(_camera(cx=cx)) == '') == plausible


@pytest.mark.parametrize(
    ('camera', 'said'),
    [
        (Camera('PINHOLE', 640, 480, (1e-300, 1e-300, 319.5, 239.5)), 'focal lengths 1e-300'),
        (Camera('PINHOLE', 640, 480, (1e9, 1e9, 319.5, 239.5)), 'focal lengths 1e+09'),
        (Camera('PINHOLE', 640, 480, (500.0, 5.0, 319.5, 239.5)), 'focal lengths 500 and 5 '),
        (_camera(k1=-9.0), 'most of 640x480 pixels see nothing'),
        (Camera('OPENCV_FISHEYE', 848, 800, (284.5, 285.5, 424.4, 393.7, 0.0, 0.0, 0.0, 0.0)), ''),
    ],
)  # fmt: skip
def test_what_is_no_calibration_is_said_to_be_none(camera: Camera, said: str) -> None:
    line = implausible(camera)
    assert said in line
    assert bool(said) == bool(line)


def _seen(random: np.random.Generator, depth: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy pixels in the true camera, and points before it at these depths."""
    pixels = np.column_stack([random.uniform(0, 639, 200), random.uniform(0, 479, 200)])
    points = MAP.rays(pixels) * random.uniform(*depth, (200, 1))
    return pixels + random.normal(0.0, 0.7, pixels.shape), points


def _estimate(factor: float, depth: tuple[float, float]) -> FocalEstimate:
    """Localize with a calibration that is wrong by a factor, and estimate it."""
    random = np.random.default_rng(0)
    estimate, camera = FocalEstimate(), _camera(factor)
    for _ in range(10):
        pixels, points = _seen(random, depth)
        noise = np.tile(np.eye(2), (200, 1, 1))
        refined = refine_absolute_pose(camera, np.eye(4), pixels, points, noise_px=noise)
        assert refined is not None
        estimate.add(camera, refined.map_from_camera, pixels, points)
    return estimate


@pytest.mark.parametrize('factor', [0.8, 0.9, 1.0, 1.1, 1.25])
def test_the_true_focal_length_is_found_in_a_scene_with_depth(factor: float) -> None:
    estimate = _estimate(factor, (1.5, 8.0))
    assert estimate.images == 10
    assert estimate.factor == pytest.approx(1.0 / factor, abs=0.01)
    assert estimate.sigma < 0.01


def test_a_flat_wall_straight_ahead_says_that_it_cannot_tell() -> None:
    random = np.random.default_rng(0)
    pixels = np.column_stack([random.uniform(0, 639, 200), random.uniform(0, 479, 200)])
    rays = MAP.rays(pixels)
    points = rays / rays[:, 2:] * 3.0
    estimate = FocalEstimate()
    noisy = pixels + random.normal(0.0, 0.7, pixels.shape)
    estimate.add(MAP, transforms.transform_from(np.eye(3), np.zeros(3)), noisy, points)
    assert estimate.sigma > 0.01


def test_too_few_matches_and_points_behind_the_camera_change_nothing() -> None:
    estimate = FocalEstimate()
    random = np.random.default_rng(0)
    pixels, points = _seen(random, (1.0, 5.0))
    estimate.add(MAP, np.eye(4), pixels[:5], points[:5])
    estimate.add(MAP, np.eye(4), pixels, -points)
    estimate.add(MAP, np.eye(4), pixels, np.full_like(points, np.nan))
    assert (estimate.images, estimate.factor) == (0, 1.0)
