"""Epipolar distances are zero for the same point and pixels off the line for another."""

from __future__ import annotations

import numpy as np

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.epipolar import essential_matrix, match_epipolar_distances

SECOND_FROM_FIRST = transforms.transform_from(
    transforms.rotation_from_rotvec([0.1, -0.3, 0.05]), [-0.8, 0.1, 0.2]
)


def views(count: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points in the first camera, and both their images on the plane z = 1."""
    points = np.random.default_rng(0).uniform([-2, -1.5, 3], [2, 1.5, 9], (count, 3))
    other = transforms.apply(SECOND_FROM_FIRST, points)
    return points, points[:, :2] / points[:, 2:], other[:, :2] / other[:, 2:]


def test_essential_matrix_of_a_pure_translation_is_the_cross_product() -> None:
    transform = transforms.transform_from(np.eye(3), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(essential_matrix(transform), [[0, -3, 2], [3, 0, -1], [-2, 1, 0]])


def test_images_of_the_same_points_lie_on_each_others_lines() -> None:
    _, first, second = views()
    distances = match_epipolar_distances(essential_matrix(SECOND_FROM_FIRST), first, second)
    assert distances.max() < 1e-12


def test_distance_to_the_line_of_a_sideways_motion_is_the_difference_in_height() -> None:
    essential = essential_matrix(transforms.transform_from(np.eye(3), [1.0, 0.0, 0.0]))
    distances = match_epipolar_distances(
        essential, [[0.1, 0.2], [0.3, -0.1]], [[-0.4, 0.25], [0.9, -0.1]]
    )
    np.testing.assert_allclose(distances, [0.05, 0.0], atol=1e-12)


def test_distance_is_the_larger_of_both_sides_and_symmetric() -> None:
    _, first, second = views()
    moved = second + np.random.default_rng(1).normal(0.0, 0.02, second.shape)
    essential = essential_matrix(SECOND_FROM_FIRST)
    distances = match_epipolar_distances(essential, first, moved)
    for a, b, distance in zip(first, moved, distances, strict=True):
        in_second = essential @ [*a, 1.0]
        in_first = essential.T @ [*b, 1.0]
        aside = [
            abs(line @ [*point, 1.0]) / np.hypot(*line[:2])
            for line, point in ((in_second, b), (in_first, a))
        ]
        assert np.isclose(distance, max(aside), rtol=1e-9)
    swapped = match_epipolar_distances(essential.T, moved, first)
    np.testing.assert_allclose(swapped, distances, rtol=1e-12)
    back = essential_matrix(transforms.invert(SECOND_FROM_FIRST))
    np.testing.assert_allclose(
        match_epipolar_distances(back, moved, first), distances, rtol=1e-9, atol=1e-12
    )


def test_camera_on_the_spot_constrains_nothing_and_divides_by_nothing() -> None:
    _, first, second = views(5)
    turned = transforms.transform_from(SECOND_FROM_FIRST[:3, :3], np.zeros(3))
    distances = match_epipolar_distances(essential_matrix(turned), first, second)
    np.testing.assert_array_equal(distances, np.zeros(5))
