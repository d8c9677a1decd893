"""The recorded bags hold what a robot would have recorded, and the same from the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from hloc_localizer.demo import drives
from hloc_localizer.demo.photographs import Studio
from hloc_localizer.demo.query import Query
from hloc_localizer.demo.recording import record
from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.progress import SilentProgress
from hloc_localizer.sources import open_source
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.tum import read_tum

SECONDS = 1.3


@pytest.fixture(scope='module')
def bags(tmp_path_factory) -> Iterator[Path]:
    """Record the beginnings of both drives, the first of them twice."""
    folder = tmp_path_factory.mktemp('recordings')
    both = [drives.mapping_drive(1), drives.query_drive(1)]
    first, second = (drives.shortened(drive, SECONDS) for drive in both)
    with Studio(1, drives.CAMERA) as studio:
        for name, drive, number in (('map', first, 0), ('again', first, 0), ('query', second, 1)):
            record(
                folder / name, drive, studio, SilentProgress(),
                number=number, with_map_frame=number == 0,
            )  # fmt: skip
    return folder


def test_the_first_bag_knows_where_the_camera_was(bags):
    source = open_source(bags / 'map')
    frames = list(source.frames())
    truth = read_tum(bags / 'map.camera.tum')
    assert len(frames) == len(truth) == 6
    assert list(source.cameras.values()) == [drives.CAMERA]
    for frame, pose in zip(frames, truth.poses, strict=True):
        assert frame.image.shape == (480, 640, 3)
        metres, radians = transforms.pose_distance(frame.map_from_camera, pose)
        assert metres < 0.002
        assert np.degrees(radians) < 0.05


def test_the_second_bag_says_nothing_about_the_map(bags):
    frames = list(open_source(bags / 'query').frames())
    assert frames
    assert all(frame.map_from_camera is None for frame in frames)
    assert all(frame.odom_from_camera is not None for frame in frames)
    query = Query.of(bags / 'query', SourceOptions())
    assert query.has_odometry
    assert query.truth is None
    assert (query.image_topic, query.info_topic) == ('/camera/image_raw', '/camera/camera_info')
    assert query.base_frame == 'base_link'


def test_the_second_drive_can_be_judged_by_its_tum_file(bags):
    options = SourceOptions(poses='file', poses_file=str(bags / 'query.base_link.tum'))
    query = Query.of(bags / 'query', options)
    truth = read_tum(bags / 'query.base_link.tum')
    for stamp, pose in zip(truth.stamps_ns, truth.poses, strict=True):
        assert np.allclose(query.map_from_base(int(stamp)), pose, atol=1e-6)
    assert query.map_from_base(int(truth.stamps_ns[0]) - 10**9) is None


def test_the_same_seed_records_the_same_images(bags):
    pairs = zip(
        open_source(bags / 'map').frames(), open_source(bags / 'again').frames(), strict=True
    )
    for first, second in pairs:
        assert first.stamp_ns == second.stamp_ns
        assert np.array_equal(first.image, second.image)


def test_the_images_are_rich_in_corners_and_light(bags):
    for frame in open_source(bags / 'query').frames():
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        assert 60 < grey.mean() < 190
        assert grey.std() > 25
        assert len(cv2.SIFT_create(nfeatures=2000).detect(grey)) > 500


def test_consecutive_images_move_as_the_poses_say(bags):
    """Matches between two images lie on the epipolar lines of the reference poses."""
    frames = list(open_source(bags / 'map').frames())
    truth = read_tum(bags / 'map.camera.tum')
    first, last = 0, len(frames) - 1
    sift, found = cv2.SIFT_create(nfeatures=1500), []
    for index in (first, last):
        keypoints, descriptors = sift.detectAndCompute(frames[index].image[..., 1], None)
        pixels = np.array([keypoint.pt for keypoint in keypoints])
        found.append((drives.CAMERA.rays(pixels), descriptors))
    matches = [
        best
        for best, second in cv2.BFMatcher().knnMatch(found[0][1], found[1][1], k=2)
        if best.distance < 0.7 * second.distance
    ]
    assert len(matches) > 100
    second_from_first = transforms.invert(truth.poses[last]) @ truth.poses[first]
    essential = transforms.hat(second_from_first[:3, 3]) @ second_from_first[:3, :3]
    a = found[0][0][[match.queryIdx for match in matches]]
    b = found[1][0][[match.trainIdx for match in matches]]
    lines = a @ essential.T
    off = np.abs(np.sum(b * lines, axis=1)) / np.linalg.norm(lines, axis=1)
    assert np.median(off) * drives.CAMERA.focal_px < 0.6


def test_a_folder_that_is_no_bag_is_refused(tmp_path):
    with pytest.raises(InputError, match='not a bag'):
        Query.of(tmp_path, SourceOptions())
