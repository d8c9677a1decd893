"""Bags whose topics, calibrations, images or clocks are wrong: one line names the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bags import (
    CAMERA,
    IMAGE_TOPIC,
    INFO_TOPIC,
    SECOND,
    START,
    message_of,
    picture,
    write_bag,
    write_images,
    write_transforms,
)

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter


def write_raw(bag: BagWriter, **changes: Any) -> None:
    """Write one raw image with some of its fields changed."""
    fields = {
        'header': bag.header(START, 'camera'),
        'height': 48,
        'width': 64,
        'encoding': 'rgb8',
        'is_bigendian': 0,
        'step': 192,
        'data': picture(1).reshape(-1),
        **changes,
    }
    kind = 'sensor_msgs/msg/Image'
    bag.write('/camera/image_raw', kind, START, bag.typestore.types[kind](**fields))


def test_missing_image_topic_lists_those_of_the_type(tmp_path: Path) -> None:
    message = message_of(write_bag(tmp_path / 'bag'), image_topic='/front/image')
    assert "topic '/front/image' is not in the bag" in message
    assert f'topics of type Image or CompressedImage: {IMAGE_TOPIC}' in message
    assert '--set source.image_topic=TOPIC' in message


def test_topic_of_another_type(tmp_path: Path) -> None:
    message = message_of(write_bag(tmp_path / 'bag'), image_topic='/tf')
    assert "topic '/tf' is of type tf2_msgs/msg/TFMessage" in message


def test_bag_without_images(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag)
    assert 'no image topic with messages; topics: /tf, /tf_static' in message_of(tmp_path / 'bag')


def test_no_calibration(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_images(bag, info=False)
    source = open_source(tmp_path / 'bag', SourceOptions(field_of_view_deg=90.0))
    assert source.intrinsics == {'camera': 'estimated'}
    assert source.cameras['camera'].focal_px == pytest.approx(32.0)
    message = source.calibration_problem
    assert f"no camera_info for '{IMAGE_TOPIC}' (camera_info topics: none)" in message
    assert '--set source.camera_info_file=FILE' in message


def write_with_info(path: Path, **changes: Any) -> None:
    """Write an image with a calibration that has some fields changed."""
    kind = 'sensor_msgs/msg/CameraInfo'
    with BagWriter(path) as bag:
        write_raw(bag)
        fields = {
            'header': bag.header(START, 'camera'),
            'height': 48,
            'width': 64,
            'distortion_model': 'plumb_bob',
            'd': np.zeros(5),
            'k': np.array([50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]),
            'r': np.eye(3).reshape(-1),
            'p': np.zeros(12),
            'binning_x': 0,
            'binning_y': 0,
            'roi': bag.typestore.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
            **changes,
        }
        bag.write(INFO_TOPIC, kind, START, bag.typestore.types[kind](**fields))


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'k': np.zeros(9)}, 'focal length is zero'),
        ({'k': np.full(9, np.nan)}, 'not finite'),
        ({'distortion_model': 'odd', 'd': np.ones(3)}, "distortion model 'odd' is not known"),
        (
            {'width': 128},
            "topic '/camera/image_raw': images are 64x48 but the calibration is for 128x48",
        ),
    ],
)
def test_wrong_calibration(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    write_with_info(tmp_path / 'bag', **changes)
    message = message_of(tmp_path / 'bag')
    assert problem in message
    assert '--set source.camera_info_file=FILE' in message


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'encoding': 'hologram'}, "encoding 'hologram' is not known; known: mono8"),
        ({'data': np.zeros(100, np.uint8)}, 'data is truncated: 100 bytes'),
        ({'step': 10}, 'step 10 is too short'),
    ],
)
def test_images_that_cannot_be_decoded(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_raw(bag, **changes)
        bag.write_camera_info(INFO_TOPIC, START, 'camera', CAMERA)
    message = message_of(tmp_path / 'bag')
    assert "topic '/camera/image_raw': " in message
    assert problem in message


def test_one_damaged_image_is_left_out_and_counted(tmp_path: Path) -> None:
    kind = 'sensor_msgs/msg/CompressedImage'
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag)
        write_images(bag)
        broken = bag.typestore.types[kind](
            header=bag.header(START + SECOND // 2, 'camera'),
            format='jpeg',
            data=np.zeros(100, np.uint8),
        )
        bag.write(IMAGE_TOPIC, kind, START + SECOND // 2, broken)
    source = open_source(tmp_path / 'bag')
    assert len(list(source.frames())) == 10
    (note,) = source.notes
    assert note.startswith('1 damaged images (first: image: the compressed data is empty or')


def test_images_of_two_sizes_under_one_topic(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_images(bag)
        half = picture(1)[::2, ::2]
        bag.write_image(IMAGE_TOPIC, START + 3 * SECOND, 'camera', half)
    message = message_of(tmp_path / 'bag')
    assert 'images are 32x24 but the calibration is for 64x48' in message


def write_jump(path: Path, by_s: float, *, pace: float = 1.0) -> Path:
    """Write images at 5 Hz whose clock jumps after 2 s; received at another pace than stamped."""
    with BagWriter(path) as bag:
        write_transforms(bag)
        for number in range(20):
            stamp = START + number * SECOND // 5 + (number >= 10) * round(by_s * SECOND)
            image = compressed_image(bag, stamp)
            received = START + round(number * SECOND / 5 / pace)
            bag.write(IMAGE_TOPIC, 'sensor_msgs/msg/CompressedImage', received, image)
        bag.write_camera_info(INFO_TOPIC, START, 'camera', CAMERA)
    return path


def compressed_image(bag: BagWriter, stamp: int, frame: str = 'camera') -> Any:
    _, data = cv2.imencode('.png', picture(9))
    return bag.typestore.types['sensor_msgs/msg/CompressedImage'](
        header=bag.header(stamp, frame), format='png', data=data.reshape(-1)
    )


@pytest.mark.parametrize(('by_s', 'told'), [(-37.0, '-36.8'), (3600.0, '+3600.0')])
def test_a_clock_that_jumps_is_refused(tmp_path: Path, by_s: float, told: str) -> None:
    path = write_jump(tmp_path / 'bag', by_s)
    message = message_of(path, poses='none')
    assert (
        f"the clock of topic '{IMAGE_TOPIC}' jumps by {by_s + (by_s < 0) * 0.2:+.1f} s" in message
    )
    assert 's, 2.0 s into the bag; read the part before it with --set source.duration_s=1.9' in (
        message
    )
    before = open_source(path, SourceOptions(poses='none', duration_s=1.9))
    assert len(list(before.frames())) == 10
    after = open_source(path, SourceOptions(poses='none', start_s=2.1))
    assert len(list(after.frames())) == 9


@pytest.mark.parametrize(('by_s', 'pace'), [(0.0, 1.0), (30.0, 10.0), (1.0, 1.0), (0.0, 0.2)])
def test_pauses_and_replays_are_no_jumps(tmp_path: Path, by_s: float, pace: float) -> None:
    path = write_jump(tmp_path / 'bag', by_s, pace=pace)
    assert len(list(open_source(path, SourceOptions(poses='none')).frames())) == 20


def test_two_cameras_under_one_topic(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag)
        for number in range(6):
            stamp = START + number * SECOND // 5
            frame = 'left' if number % 2 else 'camera'
            kind = 'sensor_msgs/msg/CompressedImage'
            bag.write(IMAGE_TOPIC, kind, stamp, compressed_image(bag, stamp, frame))
            bag.write_camera_info(INFO_TOPIC, stamp, frame, CAMERA)
    message = message_of(tmp_path / 'bag')
    assert "carries images of two cameras (frame_id 'camera' and 'left')" in message
    assert len(list(open_source(tmp_path / 'bag', SourceOptions(camera_frame='camera')).frames()))


def test_two_calibrations_under_one_topic(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_images(bag)
        other = Camera('PINHOLE', 64, 48, (70.0, 70.0, 32.0, 24.0))
        bag.write_camera_info(INFO_TOPIC, START + SECOND, 'camera', other)
    message = message_of(tmp_path / 'bag')
    assert f"topic '{INFO_TOPIC}' carries calibrations of two cameras" in message
    assert '64x48 with f = 50.0 px and 64x48 with f = 70.0 px' in message


def test_nothing_in_the_chosen_time_span(tmp_path: Path) -> None:
    message = message_of(write_bag(tmp_path / 'bag'), start_s=100.0)
    assert 'no image between source.start_s and its end' in message
