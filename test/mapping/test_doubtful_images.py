"""Images whose place is doubtful are found by their points and by their neighbours."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.geometry import transforms
from hloc_localizer.mapping.doubtful_images import (
    doubtful_images,
    matches_among,
    note_of_doubtful,
)
from hloc_localizer.mapping.matching import MapImage

COUNT = 40


def drive(*, odometry: bool) -> tuple[list[MapImage], np.ndarray]:
    """Return images along an arc, 6 cm apart, with drifting odometry, and their poses."""
    time = np.linspace(0.0, 1.2, COUNT)
    poses = transforms.transform_from(
        transforms.rotation_from_rotvec(np.outer(time, [0.0, 0.0, 1.0])),
        np.stack([2.0 * np.cos(time), 2.0 * np.sin(time), 0.0 * time], axis=1),
    )
    none = LocalFeatures(
        np.zeros((0, 2), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32),
        np.zeros(0, np.float32), (64, 48),
    )  # fmt: skip
    images = [
        MapImage(
            name=f'{index}.jpg',
            stamp_ns=index * 200_000_000,
            camera=0,
            map_from_camera=pose,
            features=none,
            plane=np.zeros((0, 2)),
            colors=np.zeros((0, 3), np.uint8),
            odom_from_camera=pose + 0.01 * time[index] * np.eye(4)[:, [3]] if odometry else None,
        )
        for index, pose in enumerate(poses)
    ]
    return images, poses


@pytest.mark.parametrize('odometry', [True, False])
def test_images_far_from_their_neighbours_are_doubtful(odometry: bool) -> None:
    images, poses = drive(odometry=odometry)
    seen = np.full(COUNT, 200)
    assert not doubtful_images(images, poses, seen, by_odometry=odometry).any()
    poses[[7, 23], :3, 3] += [[0.5, 0.5, 0.0], [-2.0, 1.5, 1.0]]
    found = doubtful_images(images, poses, seen, by_odometry=odometry)
    assert np.flatnonzero(found).tolist() == [7, 23]


def test_images_with_few_points_are_doubtful() -> None:
    images, poses = drive(odometry=True)
    seen = np.full(COUNT, 200)
    seen[[3, 30]] = [0, 19]
    found = doubtful_images(images, poses, seen, by_odometry=True)
    assert np.flatnonzero(found).tolist() == [3, 30]
    kept = np.flatnonzero(~found)
    assert '2 of 40 images that found a place are left out' in note_of_doubtful(images, kept)
    assert '0.6 s to 0.6 s (1); 6.0 s to 6.0 s (1)' in note_of_doubtful(images, kept)
    assert note_of_doubtful(images, np.arange(COUNT)) == ''


def test_odometry_that_contradicts_most_images_is_not_believed() -> None:
    images, poses = drive(odometry=True)
    turned = [
        dataclasses.replace(image, odom_from_camera=transforms.invert(image.map_from_camera))
        for image in images
    ]
    assert not doubtful_images(turned, poses, np.full(COUNT, 200), by_odometry=True).any()


def test_a_gap_in_the_recording_is_no_jump() -> None:
    images, poses = drive(odometry=False)
    poses[20:, :3, 3] += [0.0, 0.0, 3.0]
    assert not doubtful_images(images, poses, np.full(COUNT, 200), by_odometry=False).any()


def test_matches_are_renumbered() -> None:
    one = np.array([[0, 1]], np.int32)
    matches = {(0, 1): one, (1, 3): one + 1, (0, 3): one + 2}
    left = matches_among(matches, np.array([0, 3]))
    assert list(left) == [(0, 1)]
    np.testing.assert_array_equal(left[0, 1], one + 2)
