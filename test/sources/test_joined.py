"""Several recordings as one source: names, sessions, cameras, rigs and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from bags import CAMERA, START, picture, write_bag

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.sources import SourceOptions, open_sources
from hloc_localizer.sources.bag_writer import BagWriter
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


def test_cameras_that_were_mounted_anew_stay_apart(tmp_path: Path) -> None:
    def stereo(name: str, baseline_m: float) -> Path:
        mounting = transforms.transform_from(np.eye(3), [baseline_m, 0.0, 0.0])
        with BagWriter(tmp_path / name) as bag:
            bag.write_tf(START, 'left', 'right', mounting, static=True)
            for camera in ('left', 'right'):
                bag.write_image(f'/{camera}/image_raw', START, camera, picture(1))
                bag.write_camera_info(f'/{camera}/camera_info', START, camera, CAMERA)
        return tmp_path / name

    options = SourceOptions(image_topic='/left/image_raw,/right/image_raw')
    bags = [stereo('first', 0.1), stereo('again', 0.102), stereo('anew', 0.12)]
    source = open_sources(bags, options)
    assert list(source.cameras) == ['left', 'right', 'anew/left', 'anew/right']
    assert [rig.cameras for rig in source.rigs] == [('left', 'right'), ('anew/left', 'anew/right')]
    lengths = [np.linalg.norm(rig.rig_from_camera[rig.cameras[1]][:3, 3]) for rig in source.rigs]
    assert lengths == pytest.approx([0.1, 0.12])


def test_recordings_that_the_options_do_not_fit_are_read_otherwise(shared_data: Path) -> None:
    lounge = shared_data / 'data/lounge'
    strict, blind = SourceOptions(poses='tf', duration_s=1.0), SourceOptions(poses='none')
    with pytest.raises(InputError, match="query: TF has no frame 'map'"):
        open_sources([lounge / 'map', lounge / 'query'], strict)
    source = open_sources([lounge / 'query', lounge / 'map'], strict, otherwise=blind)
    posed = {frame.session for frame in source.frames() if frame.map_from_camera is not None}
    assert posed == {'map'}
    with pytest.raises(InputError, match="query: TF has no frame 'map'"):
        open_sources([lounge / 'query', lounge / 'revisit'], strict, otherwise=blind)


def test_a_recording_given_twice(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    with pytest.raises(InputError, match='bag: is given twice'):
        open_sources([path, tmp_path / '.' / 'bag'])


def test_session_names_are_distinct_and_safe() -> None:
    assert session_names(['a b', 'a_b', '..', 'walk']) == ['a_b', 'a_b-2', 'session', 'walk']
