"""Images are paired whose views overlap or look alike, and never those that look apart."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hloc_localizer.features.registry import create_front_end
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.options import PairOptions
from hloc_localizer.mapping.pairs import pairs_from_poses, pairs_from_retrieval, view_overlap

CAMERA = Camera('PINHOLE', 640, 480, (500.0, 500.0, 319.5, 239.5))
ALL = PairOptions(covisible=100, retrieved=100)


def turned(*yaw_deg: float) -> np.ndarray:
    """Return cameras on one spot, turned about their vertical axis."""
    rotvecs = np.radians([[0.0, yaw, 0.0] for yaw in yaw_deg])
    return transforms.transform_from(
        transforms.rotation_from_rotvec(rotvecs), np.zeros((len(rotvecs), 3))
    )


def row(count: int, step_m: float) -> np.ndarray:
    """Return cameras side by side that look the same way."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = step_m * np.arange(count)
    return poses


def test_overlap_of_turned_cameras_is_the_share_of_the_image_that_both_see() -> None:
    overlap = view_overlap([CAMERA] * 3, turned(0.0, 20.0, 90.0))
    assert overlap[0, 0] == 0.0
    # 20 of 65 degrees are lost: tan(12.6 deg) of tan(32.6 deg) on one side stay in view.
    assert overlap[0, 1] == pytest.approx(0.7, abs=0.15)
    assert overlap[0, 2] == overlap[2, 0] == 0.0


def test_overlap_falls_with_distance() -> None:
    overlap = view_overlap([CAMERA] * 5, row(5, 1.0))
    assert np.all(np.diff(overlap[0, 1:]) < 0.0)
    np.testing.assert_allclose(overlap, overlap.T, atol=0.05)
    assert overlap[0, 1] > 0.5


def test_pairs_are_those_of_most_overlap_each_once() -> None:
    pairs = pairs_from_poses([CAMERA] * 8, row(8, 1.0), PairOptions(covisible=2))
    assert pairs == sorted(set(pairs))
    assert all(first < second for first, second in pairs)
    assert {(i, i + 1) for i in range(7)} <= set(pairs)
    assert max(second - first for first, second in pairs) == 2


def test_pairs_need_the_least_overlap_of_both_directions() -> None:
    poses = row(6, 3.0)
    overlap = np.minimum(*(lambda one: (one, one.T))(view_overlap([CAMERA] * 6, poses)))
    options = PairOptions(covisible=100, min_overlap=0.4)
    expected = [(i, j) for i in range(6) for j in range(i + 1, 6) if overlap[i, j] >= 0.4]
    assert pairs_from_poses([CAMERA] * 6, poses, options) == expected
    assert 0 < len(expected) < 15


def test_cameras_that_look_apart_are_never_paired() -> None:
    wide = Camera('FISHEYE', 640, 480, (200.0, 200.0, 319.5, 239.5))
    poses = turned(0.0, 40.0, 80.0, 180.0)
    options = PairOptions(covisible=100, retrieved=100, max_angle_deg=75.0)
    assert pairs_from_poses([wide] * 4, poses, options) == [(0, 1), (1, 2)]
    alike = np.ones((4, 2), np.float32) / np.sqrt(2.0).astype(np.float32)
    assert pairs_from_retrieval(alike, poses, options) == [(0, 1), (1, 2)]


def test_retrieval_pairs_the_most_alike() -> None:
    angles = np.radians([0.0, 5.0, 60.0, 64.0, 170.0])
    descriptors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    options = PairOptions(retrieved=1)
    pairs = pairs_from_retrieval(descriptors, row(5, 1.0), options)
    assert pairs == [(0, 1), (2, 3), (3, 4)]
    none = PairOptions(retrieved=0)
    assert pairs_from_retrieval(descriptors, row(5, 1.0), none) == []


def test_cameras_of_two_kinds_are_paired_by_what_both_see() -> None:
    narrow = Camera('PINHOLE', 640, 480, (2000.0, 2000.0, 319.5, 239.5))
    overlap = view_overlap([CAMERA, narrow], np.tile(np.eye(4), (2, 1, 1)))
    assert overlap[1, 0] == 1.0  # the wide one sees all that the narrow one sees
    assert overlap[0, 1] < 0.2
    poses = np.tile(np.eye(4), (2, 1, 1))
    assert pairs_from_poses([CAMERA, narrow], poses, PairOptions(min_overlap=0.5)) == []


def test_overlaps_of_many_images_are_those_of_each_two() -> None:
    random = np.random.default_rng(4)
    rotvecs = random.normal(size=(90, 3)) * [0.1, 1.5, 0.1]
    poses = transforms.transform_from(
        transforms.rotation_from_rotvec(rotvecs), random.uniform(-5.0, 5.0, (90, 3))
    )
    bent = Camera('OPENCV', 640, 480, (400.0, 400.0, 319.5, 239.5, -0.3, 0.09, 1e-3, 0.0))
    cameras = [bent if index % 5 == 0 else CAMERA for index in range(90)]
    overlap = view_overlap(cameras, poses)
    for first, second in random.integers(0, 90, (60, 2)).tolist():
        if first != second:
            two = [first, second]
            alone = view_overlap([cameras[index] for index in two], poses[two])
            np.testing.assert_array_equal(overlap[np.ix_(two, two)], alone)
    axes = poses[:, :3, 2]
    both = np.minimum(overlap, overlap.T) * (axes @ axes.T >= np.cos(np.radians(75.0)))
    firsts, seconds = np.nonzero(np.triu(both >= 0.15))
    expected = list(zip(firsts.tolist(), seconds.tolist(), strict=True))
    assert pairs_from_poses(cameras, poses, ALL) == expected
    assert 100 < len(expected) < 1500


def test_a_network_is_given_fewer_pairs() -> None:
    options = PairOptions(covisible=9, retrieved=3, learned_covisible=5, learned_retrieved=1)
    assert options.for_front_end(create_front_end('sift', {})) == options
    network = SimpleNamespace(nearest=None)
    fewer = options.for_front_end(network)  # type: ignore[arg-type]
    assert (fewer.covisible, fewer.retrieved) == (5, 1)
