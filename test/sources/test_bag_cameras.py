"""Bags of several cameras: which are read, and which are a rig."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from bags import (
    BASE_FROM_CAMERA,
    CAMERA,
    IMAGE_TOPIC,
    SECOND,
    START,
    odom_from_base,
    picture,
    write_images,
    write_transforms,
)

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter


def fisheye_file(folder: Path, name: str = 'fisheye.yaml') -> str:
    file = folder / name
    values = {
        'image_width': 848,
        'image_height': 800,
        'camera_matrix': {'data': [284.468, 0, 424.355, 0, 285.51, 393.742, 0, 0, 1]},
        'distortion_model': 'equidistant',
        'distortion_coefficients': {'data': [0.0008, 0.031, -0.03, 0.005]},
    }
    file.write_text(yaml.safe_dump(values))
    return str(file)


def test_t265_has_two_cameras_and_neither_is_guessed(shared_data: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_source(shared_data / 'data/bags/t265_ros1.bag')
    assert 'several image topics: /camera/fisheye1/image_raw, /camera/fisheye2/image_raw' in str(
        caught.value
    )


def test_t265_without_calibration_names_the_remedy(shared_data: Path) -> None:
    source = open_source(
        shared_data / 'data/bags/t265_ros1.bag',
        SourceOptions(image_topic='/camera/fisheye1/image_raw'),
    )
    assert source.intrinsics == {'camera_fisheye1_optical_frame': 'estimated'}
    assert "no camera_info for '/camera/fisheye1/image_raw' (camera_info topics: none)" in (
        source.calibration_problem
    )
    assert '--set source.camera_info_file=FILE' in source.calibration_problem


def test_t265_is_read_with_a_fisheye_calibration(shared_data: Path, tmp_path: Path) -> None:
    source = open_source(
        shared_data / 'data/bags/t265_ros1.bag',
        SourceOptions(
            image_topic='/camera/fisheye1/image_raw', camera_info_file=fisheye_file(tmp_path)
        ),
    )
    frames = list(source.frames())
    assert [frame.image.shape for frame in frames] == [(800, 848)] * 3
    assert source.cameras['camera_fisheye1_optical_frame'].model == 'OPENCV_FISHEYE'
    assert frames[0].stamp_ns == 1_553_180_224_360_915_899
    assert frames[0].image.std() > 10


def test_both_cameras_of_the_t265(shared_data: Path, tmp_path: Path) -> None:
    topics = '/camera/fisheye1/image_raw, /camera/fisheye2/image_raw'
    files = ','.join(fisheye_file(tmp_path, name) for name in ('left.yaml', 'right.yaml'))
    path = shared_data / 'data/bags/t265_ros1.bag'
    source = open_source(path, SourceOptions(image_topic=topics, camera_info_file=files))
    names = ['camera_fisheye1_optical_frame', 'camera_fisheye2_optical_frame']
    assert list(source.cameras) == names
    assert source.intrinsics == dict.fromkeys(names, 'file')
    frames = list(source.frames())
    assert [frame.camera_name for frame in frames] == names * 3
    assert len({frame.stamp_ns for frame in frames}) == 3
    assert source.notes[0].startswith('it is not known how the cameras')
    assert source.rigs == ()
    assert "how the cameras 'camera_fisheye1_optical_frame' and" in source.rig_problem
    assert 'record /tf_static, or choose one camera with --set source.image_topic=TOPIC' in (
        source.rig_problem
    )
    with pytest.raises(InputError, match='2 image topics but 1 values of source'):
        open_source(
            path, SourceOptions(image_topic=topics, camera_info_file=files.partition(',')[0])
        )


RIGHT_FROM_LEFT = transforms.transform_from(np.eye(3), [-0.1, 0.0, 0.0])


def write_stereo(path: Path, *, static: bool = True, right_focal: float = 50.0) -> Path:
    """Write a bag of two cameras, 0.1 m apart, that drive 1 m/s."""
    right = Camera('PINHOLE', 64, 48, (right_focal, 50.0, 31.0, 23.0))
    with BagWriter(path) as bag:
        write_transforms(bag)
        write_images(bag)
        bag.write_tf(START, 'camera', 'right', np.linalg.inv(RIGHT_FROM_LEFT), static=static)
        for number in range(10):
            stamp = START + SECOND // 100 + number * SECOND // 5
            bag.write_image('/right/image_raw', stamp, 'right', picture(number))
            bag.write_camera_info('/right/camera_info', stamp, 'right', right)
    return path


STEREO = {'image_topic': f'{IMAGE_TOPIC},/right/image_raw'}


def test_cameras_that_static_transforms_join_are_a_rig(tmp_path: Path) -> None:
    source = open_source(write_stereo(tmp_path / 'bag'), SourceOptions(**STEREO))
    (rig,) = source.rigs
    assert source.rig_problem == ''
    assert rig.cameras == ('camera', 'right')
    np.testing.assert_allclose(rig.rig_from_camera['camera'], np.eye(4))
    np.testing.assert_allclose(rig.rig_from_camera['right'], np.linalg.inv(RIGHT_FROM_LEFT))
    frames = list(source.frames())
    for left, right in zip(frames[::2], frames[1::2], strict=True):
        assert (left.camera_name, right.camera_name) == ('camera', 'right')
        np.testing.assert_allclose(
            left.map_from_camera @ rig.rig_from_camera['right'], right.map_from_camera, atol=1e-12
        )


def test_a_camera_that_moves_on_the_other_is_no_rig(tmp_path: Path) -> None:
    source = open_source(write_stereo(tmp_path / 'bag', static=False), SourceOptions(**STEREO))
    assert source.rigs == ()
    assert "'camera' and 'right' are mounted: it changes with time" in source.rig_problem


def test_two_cameras_of_one_rig(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        for name in ('left', 'right'):
            bag.write_tf(START, 'base_link', name, BASE_FROM_CAMERA, static=True)
        for number in range(5):
            stamp = START + number * SECOND // 5
            bag.write_tf(stamp, 'map', 'base_link', odom_from_base(number / 5))
            for name in ('right', 'left'):
                bag.write_image(f'/{name}/image_raw', stamp, name, picture(number), raw=True)
                bag.write_camera_info(f'/{name}/camera_info', stamp, name, CAMERA)
    source = open_source(path, SourceOptions(image_topic='/left/image_raw, /right/image_raw'))
    frames = list(source.frames())
    assert set(source.cameras) == {'left', 'right'}
    assert len(frames) == len(source) == 10
    assert len({frame.name for frame in frames}) == 10
    assert [frame.stamp_ns for frame in frames] == sorted(frame.stamp_ns for frame in frames)
    with pytest.raises(InputError, match='several image topics: /left/image_raw, /right/image_raw'):
        open_source(path)
