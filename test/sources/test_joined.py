"""Several recordings as one source: names, sessions, cameras, rigs and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from bags import CAMERA, write_bag

from hloc_localizer.errors import InputError
from hloc_localizer.sources import SourceOptions, open_sources
from hloc_localizer.sources.joined import session_names


def test_two_bags_of_the_lounge(shared_data: Path) -> None:
    lounge = shared_data / 'data/lounge'
    source = open_sources([lounge / 'map', lounge / 'query'], SourceOptions(duration_s=4.0))
    assert list(source.cameras) == ['camera_optical_frame']
    assert source.intrinsics == {'camera_optical_frame': 'camera_info'}
    assert source.description['sessions'] == 'map, query'
    assert source.description['poses'] == 'tf map; none'
    assert "query: TF has no frame 'map'" in source.pose_problem
    frames = list(source.frames())
    assert len({frame.name for frame in frames}) == len(frames)
    assert [frame.session for frame in frames] == sorted(frame.session for frame in frames)
    assert frames[0].name.startswith('map/camera_optical_frame/')
    posed = {frame.session for frame in frames if frame.map_from_camera is not None}
    assert posed == {'map'}
    assert all(frame.odom_from_camera is not None for frame in frames)
    assert len(source) == 290


def test_cameras_of_one_name_and_another_calibration_stay_apart(tmp_path: Path) -> None:
    folders = []
    for name, focal in (('day', 50), ('night', 60)):
        folder = tmp_path / name / 'images'
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / '1.png'), np.zeros((48, 64, 3), np.uint8))
        (folder / 'camera.yaml').write_text(
            'image_width: 64\nimage_height: 48\n'
            f'camera_matrix: {{data: [{focal}, 0, 32, 0, {focal}, 24, 0, 0, 1]}}\n'
        )
        folders.append(folder)
    source = open_sources([*folders, write_bag(tmp_path / 'bag')])
    assert list(source.cameras) == ['camera', 'images-2/camera', 'bag/camera']
    assert source.cameras['bag/camera'] == CAMERA
    for frame in source.frames():
        height, width = frame.image.shape[:2]
        assert source.cameras[frame.camera_name].image_size == (width, height)
    names = [frame.name for frame in source.frames()]
    assert names[:3] == ['images/1.png', 'images-2/1.png', 'bag/camera/1700000000010000000.jpg']


def test_a_recording_given_twice(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    with pytest.raises(InputError, match='bag: is given twice'):
        open_sources([path, tmp_path / '.' / 'bag'])


def test_session_names_are_distinct_and_safe() -> None:
    assert session_names(['a b', 'a_b', '..', 'walk']) == ['a_b', 'a_b-2', 'session', 'walk']
