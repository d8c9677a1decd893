"""The covariance of a solution is wide enough where parts of the scene err alike."""

from __future__ import annotations

import numpy as np
import pytest
from cameras import CAMERAS
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.absolute_pose import (
    refine_absolute_pose,
    reprojection_jacobian,
    reprojection_residuals,
)
from hloc_localizer.geometry.covariance import pose_error, squared_mahalanobis
from hloc_localizer.geometry.pose_chain import Tie, View, refine_chain
from hloc_localizer.geometry.solution_covariance import (
    cell_width,
    direction_cells,
    solution_covariance,
)

Array = NDArray[np.float64]
CAMERA = CAMERAS['PINHOLE']
WIDTH = cell_width(CAMERA.width, CAMERA.focal_px)


def scene(count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Return exact keypoints and points 2 to 8 m before a camera at the origin."""
    keypoints = random.uniform([0.0, 0.0], CAMERA.image_size, (count, 2))
    return keypoints, CAMERA.rays(keypoints) * random.uniform(2.0, 8.0, (count, 1))


def nees(cells_share: float, *, own_cells: bool = False) -> float:
    """
    Return the mean NEES of poses from matches whose errors are partly those of their cell.

    :param cells_share: standard deviation of what the matches of a cell have in common, pixels.
    :param own_cells: suppose that each match is a part of the scene by itself.
    """
    random = np.random.default_rng(1)
    found = []
    for _ in range(60):
        exact, points = scene(500, random)
        cells = direction_cells(points, np.zeros(3), WIDTH)
        _, cell = np.unique(cells, return_inverse=True)
        shared = random.normal(0.0, cells_share, (len(cells), 2))[cell.reshape(-1)]
        keypoints = exact + shared + random.normal(0.0, 0.7, exact.shape)
        noise = np.tile(0.49 * np.eye(2), (len(points), 1, 1))
        pose = refine_absolute_pose(CAMERA, np.eye(4), keypoints, points, noise_px=noise)
        assert pose is not None
        covariance = pose.covariance
        if own_cells:
            residuals = reprojection_residuals(CAMERA, pose.map_from_camera, keypoints, points)
            jacobian = reprojection_jacobian(CAMERA, pose.map_from_camera, points)
            alone = solution_covariance(residuals / 0.7, jacobian / 0.7, np.arange(len(points)))
            assert alone is not None
            covariance = alone
        found.append(squared_mahalanobis(pose_error(pose.map_from_camera, np.eye(4)), covariance))
    return float(np.mean(found))


def test_errors_that_parts_of_the_scene_share_are_in_the_covariance() -> None:
    assert 2.0 < nees(0.0) < 6.0
    assert 3.0 < nees(1.5) < 8.0
    assert nees(1.5, own_cells=True) > 12.0


def test_seeing_the_same_part_of_the_scene_again_adds_little() -> None:
    random = np.random.default_rng(2)
    exact, points = scene(60, random)
    cells = np.unique(direction_cells(points, np.zeros(3), WIDTH), return_inverse=True)[1]
    shared = random.normal(0.0, 1.5, (60, 2))[cells.reshape(-1)]
    views = [
        View(CAMERA, np.eye(4), exact + shared + random.normal(0.0, 0.5, exact.shape), points,
             np.tile(0.25 * np.eye(2), (60, 1, 1)))
        for _ in range(4)
    ]  # fmt: skip
    ties = [Tie(np.eye(4), 1e-4, 1e-4)] * 3
    once = refine_chain([[views[0]]], [], [np.eye(4)])
    often = refine_chain([[view] for view in views], ties, [np.eye(4)] * 4)
    assert once is not None
    assert often is not None
    ratio = np.sqrt(often.covariance.diagonal() / once.covariance.diagonal())
    # Independent errors would be halved.
    assert ratio.mean() > 0.65, ratio


def test_a_pose_that_rests_on_one_part_of_the_scene_has_no_covariance() -> None:
    random = np.random.default_rng(3)
    _, points = scene(40, random)
    jacobian = reprojection_jacobian(CAMERA, np.eye(4), points)
    residuals = random.normal(0.0, 1.0, (40, 2))
    assert solution_covariance(residuals, jacobian, np.zeros(40, np.intp)) is None
    assert solution_covariance(residuals, jacobian, np.arange(40) % 8) is not None
    assert solution_covariance(np.full((40, 2), np.nan), jacobian, np.arange(40)) is None


@pytest.mark.parametrize(('most', 'others'), [(12, 1), (50, 2), (200, 2), (50, 3), (20, 6)])
def test_what_remains_without_a_part_has_to_determine_the_pose(most: int, others: int) -> None:
    determined = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        together = 0.05 + random.uniform(-0.03, 0.03, (most, 2))
        plane = np.concatenate([together, random.uniform(-0.4, 0.4, (others, 2))])
        depth = random.uniform(2.0, 8.0, (len(plane), 1))
        points = np.concatenate([plane, np.ones_like(depth)], axis=1) * depth
        residuals = random.normal(0.0, 1.0, (len(points), 2))
        jacobian = reprojection_jacobian(CAMERA, np.eye(4), points)
        cells = np.append(np.zeros(most, np.intp), 1 + np.arange(others))
        covariance = solution_covariance(residuals, jacobian, cells)
        if covariance is not None:
            determined += 1
            np.linalg.cholesky(covariance)
            np.testing.assert_array_equal(covariance, covariance.T)
            assert np.sqrt(covariance.diagonal().max()) < 1e5
    # Three points are the fewest that a pose can rest on.
    assert determined == (30 if others >= 3 else 0)


def test_a_part_of_the_scene_is_a_direction() -> None:
    random = np.random.default_rng(4)
    directions = random.normal(size=(2000, 3))
    centre = np.array([3.0, -2.0, 1.0])
    near = direction_cells(centre + directions, centre, 0.15)
    far = direction_cells(centre + 7.0 * directions, centre, 0.15)
    np.testing.assert_array_equal(near, far)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert not np.any(direction_cells(centre - directions, centre, 0.15) == near)
    for cell in np.unique(near)[::10]:
        inside = unit[near == cell]
        assert np.arccos(np.clip(inside @ inside[0], -1.0, 1.0)).max() < 2.0 * 0.15
    moved = transforms.apply(transforms.transform_from(np.eye(3), centre), directions)
    np.testing.assert_array_equal(direction_cells(moved, centre, 0.15), near)
