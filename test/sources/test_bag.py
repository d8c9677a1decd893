"""Bags as sources: recorded ones and every storage, in part, again, and in order of stamps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags import (
    BASE_FROM_CAMERA,
    CAMERA,
    IMAGE_TOPIC,
    INFO_TOPIC,
    MAP_FROM_ODOM,
    SECOND,
    START,
    frames_of,
    map_from_camera,
    odom_from_base,
    picture,
    write_bag,
    write_images,
    write_transforms,
)
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.transforms import pose_distance, quaternion_from_rotation
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter


def test_lounge_images_and_camera(shared_data: Path) -> None:
    source = open_source(shared_data / 'data/lounge/query')
    frame = next(source.frames())
    assert frame.image.shape == (360, 540, 3)
    assert 40 < frame.image.mean() < 220
    assert frame.name == 'camera_optical_frame/1700000003000000000.jpg'
    camera = source.cameras[frame.camera_name]
    assert camera.image_size == (540, 360)
    assert camera.focal_px == pytest.approx(495.52, abs=0.01)


def test_lounge_depth_comes_with_its_image(shared_data: Path) -> None:
    depth_topic = '/camera/depth/image_raw/compressedDepth'
    source = open_source(
        shared_data / 'data/lounge/map', SourceOptions(depth_topic=depth_topic, duration_s=2.0)
    )
    frames = list(source.frames())
    assert len(frames) == 10
    for frame in frames:
        assert frame.depth_m is not None
        assert frame.depth_m.dtype == np.float32
        assert 0.3 < np.nanmedian(frame.depth_m) < 10.0


def test_recorder_bag_with_25_other_types(shared_data: Path) -> None:
    path = shared_data / 'data/bags/rosbag2_mixed.mcap'
    with pytest.raises(InputError, match='several image topics: /compressed_image, /image'):
        open_source(path)
    (raw,) = frames_of(path, image_topic='/image')
    assert raw.image.shape == (480, 640, 3)


@pytest.mark.parametrize(
    ('storage', 'compression'),
    [
        ('mcap', 'none'),
        ('mcap', 'storage'),
        ('sqlite3', 'none'),
        ('sqlite3', 'message'),
        ('sqlite3', 'file'),
    ],
)
def test_every_storage_and_compression(tmp_path: Path, storage: str, compression: str) -> None:
    path = write_bag(tmp_path / 'bag', storage=storage, compression=compression)
    source = open_source(path)
    frames = list(source.frames())
    assert source.cameras == {'camera': CAMERA}
    assert len(frames) == len(source) == 10
    for number, frame in enumerate(frames):
        assert abs(int(frame.image.mean()) - 5 * number) <= 1
        metres, radians = pose_distance(frame.map_from_camera, map_from_camera(0.01 + number / 5))
        assert metres < 1e-9
        assert radians < 1e-7
        np.testing.assert_allclose(
            MAP_FROM_ODOM @ frame.odom_from_camera, frame.map_from_camera, atol=1e-12
        )


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_storage_file_without_its_folder(tmp_path: Path, storage: str) -> None:
    folder = write_bag(tmp_path / 'bag', storage=storage)
    (folder / 'metadata.yaml').unlink()
    suffix = '.mcap' if storage == 'mcap' else '.db3'
    assert len(frames_of(folder)) == 10
    assert len(frames_of(folder / f'bag{suffix}')) == 10


def test_a_source_can_be_read_again(tmp_path: Path) -> None:
    source = open_source(write_bag(tmp_path / 'bag'))
    first, second = list(source.frames()), list(source.frames())
    for one, other in zip(first, second, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.image, other.image)


def test_part_of_a_bag(tmp_path: Path) -> None:
    frames = frames_of(write_bag(tmp_path / 'bag'), start_s=0.5, duration_s=0.8)
    assert [(frame.stamp_ns - START) // 1_000_000 for frame in frames] == [610, 810, 1010, 1210]
    assert all(frame.map_from_camera is not None for frame in frames)


def test_ros_1_bag_with_tf_and_slashes(tmp_path: Path) -> None:
    path = tmp_path / 'drive.bag'
    write_ros1_bag(path)
    (frame,) = frames_of(path)
    metres, _ = pose_distance(frame.map_from_camera, map_from_camera(0.5))
    assert metres < 1e-9
    np.testing.assert_array_equal(frame.image, picture(20))


def write_ros1_bag(path: Path) -> None:
    """Write one image in ROS 1, with frame names as the tf of old wrote them."""
    store = get_typestore(Stores.ROS1_NOETIC)
    tf_definition = 'geometry_msgs/TransformStamped[] transforms'
    store.register(get_types_from_msg(tf_definition, 'tf2_msgs/msg/TFMessage'))
    types = store.types

    def header(stamp: int, frame: str) -> Any:
        time = types['builtin_interfaces/msg/Time'](sec=stamp // SECOND, nanosec=stamp % SECOND)
        return types['std_msgs/msg/Header'](seq=0, stamp=time, frame_id=frame)

    def transform(stamp: int, parent: str, child: str, matrix: np.ndarray) -> Any:
        quaternion = quaternion_from_rotation(matrix[:3, :3])
        return types['geometry_msgs/msg/TransformStamped'](
            header(stamp, parent),
            child,
            types['geometry_msgs/msg/Transform'](
                types['geometry_msgs/msg/Vector3'](*matrix[:3, 3]),
                types['geometry_msgs/msg/Quaternion'](*quaternion),
            ),
        )

    moving = [
        transform(stamp, parent, child, matrix)
        for stamp in (START + SECOND // 4, START + SECOND * 3 // 4)
        for parent, child, matrix in (
            ('/map', '/odom', MAP_FROM_ODOM),
            ('/odom', '/base_link', odom_from_base((stamp - START) / SECOND)),
        )
    ]
    static = [transform(START, 'base_link', 'camera', BASE_FROM_CAMERA)]
    stamp = START + SECOND // 2
    image = types['sensor_msgs/msg/Image'](
        header(stamp, 'camera'), 48, 64, 'bgr8', 0, 192, picture(20).reshape(-1)
    )
    roi = types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    fx, fy, cx, cy, *d = CAMERA.params
    info = types['sensor_msgs/msg/CameraInfo'](
        header(stamp, 'camera'),
        48,
        64,
        'plumb_bob',
        np.array([*d, 0.0]),
        np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1.0]),
        np.eye(3).reshape(-1),
        np.zeros(12),
        0,
        0,
        roi,
    )
    tf = types['tf2_msgs/msg/TFMessage']
    with Writer1(path) as bag:
        for topic, message in (
            ('/tf', tf(moving)),
            ('/tf_static', tf(static)),
            ('/camera/image_raw', image),
            ('/camera/camera_info', info),
        ):
            kind = message.__msgtype__
            connection = bag.add_connection(topic, kind, typestore=store)
            bag.write(connection, START, store.serialize_ros1(message, kind))


def test_raw_topic_is_taken_before_its_compressed_copy(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        write_transforms(bag)
        write_images(bag, info=False)
        write_images(bag, raw=True)
    source = open_source(path)
    assert source.description['image_topics'] == '/camera/image_raw'
    (chosen,) = {
        frame.camera_name
        for frame in open_source(
            path, SourceOptions(image_topic=IMAGE_TOPIC, camera_info_topic=INFO_TOPIC)
        ).frames()
    }
    assert chosen == 'camera'


def test_images_received_out_of_order_and_twice(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        for receipt, number in enumerate([0, 2, 1, 1, 4, 3, 5]):
            message = bag.typestore.types['sensor_msgs/msg/Image'](
                header=bag.header(START + number * SECOND, 'camera'),
                height=48,
                width=64,
                encoding='rgb8',
                is_bigendian=0,
                step=192,
                data=picture(number).reshape(-1),
            )
            bag.write('/image', 'sensor_msgs/msg/Image', START + receipt, message)
        bag.write_camera_info('/camera_info', START, 'camera', CAMERA)
    source = open_source(path)
    frames = list(source.frames())
    assert [(frame.stamp_ns - START) // SECOND for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 5, 10, 15, 20, 25]
    (note,) = source.notes
    assert note.startswith('1 images of an earlier or the same stamp')


def test_unstamped_images_take_the_receive_time(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        for number in range(3):
            message = bag.typestore.types['sensor_msgs/msg/Image'](
                header=bag.header(0, 'camera'),
                height=48,
                width=64,
                encoding='mono8',
                is_bigendian=0,
                step=64,
                data=picture(number)[..., 0].reshape(-1),
            )
            bag.write('/image', 'sensor_msgs/msg/Image', START + number, message)
        bag.write_camera_info('/camera_info', START, 'camera', CAMERA)
    assert [frame.stamp_ns for frame in frames_of(path)] == [START, START + 1, START + 2]
