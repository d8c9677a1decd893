"""Bags as sources: recorded bags against their references, and the ways to give poses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bags import (
    BASE_FROM_CAMERA,
    CAMERA,
    IMAGE_TOPIC,
    INFO_TOPIC,
    MAP_FROM_ODOM,
    SECOND,
    START,
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
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.geometry.transforms import pose_distance, quaternion_from_rotation
from hloc_localizer.sources import Frame, SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter
from hloc_localizer.sources.tum import read_tum, write_tum


def frames_of(path: Path, **values: Any) -> list[Frame]:
    return list(open_source(path, SourceOptions(**values)).frames())


def errors_against(frames: list[Frame], reference: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Return metres and degrees between the frames' poses and a reference at their stamps."""
    found = np.stack([frame.map_from_camera for frame in frames])
    expected = np.stack([reference.at(frame.stamp_ns) for frame in frames])
    metres, radians = pose_distance(found, expected)
    return metres, np.degrees(radians)


def test_lounge_poses_from_tf_agree_with_the_reference(shared_data: Path) -> None:
    source = open_source(shared_data / 'data/lounge/map')
    frames = list(source.frames())
    assert len(source) == len(frames) == 220
    assert source.notes == ()
    assert source.pose_problem == ''
    reference = read_tum(shared_data / 'data/lounge/map.camera.tum')
    assert [frame.stamp_ns for frame in frames] == reference.stamps_ns.tolist()
    metres, degrees = errors_against(frames, reference)
    # TF comes every 40 ms and the person is walking: interpolation has an error of its own.
    assert np.median(metres) < 0.001
    assert np.median(degrees) < 0.06
    assert metres.max() < 0.005
    assert degrees.max() < 0.5


def test_lounge_images_and_camera(shared_data: Path) -> None:
    source = open_source(shared_data / 'data/lounge/query')
    frame = next(source.frames())
    assert frame.image.shape == (360, 540, 3)
    assert 40 < frame.image.mean() < 220
    assert frame.name == 'camera_optical_frame/1700000003000000000.jpg'
    camera = source.cameras[frame.camera_name]
    assert camera.image_size == (540, 360)
    assert camera.focal_px == pytest.approx(495.52, abs=0.01)


def test_a_bag_without_map_frame_has_odometry_and_says_why_not_poses(shared_data: Path) -> None:
    source = open_source(shared_data / 'data/lounge/query')
    frames = list(source.frames())
    assert all(frame.map_from_camera is None for frame in frames)
    assert all(frame.odom_from_camera is not None for frame in frames)
    assert "TF has no frame 'map'; frames: base_link, camera_optical_frame, odom" in (
        source.pose_problem
    )
    with pytest.raises(InputError, match="TF has no frame 'map'"):
        open_source(shared_data / 'data/lounge/query', SourceOptions(poses='tf'))


@pytest.mark.parametrize('child', ['base', 'camera'])
def test_lounge_poses_from_a_tum_file(shared_data: Path, child: str) -> None:
    lounge = shared_data / 'data/lounge'
    file = lounge / f'query.{"base_link" if child == "base" else "camera"}.tum'
    frames = frames_of(lounge / 'query', poses_file=str(file), poses_child=child)
    metres, degrees = errors_against(frames, read_tum(lounge / 'query.camera.tum'))
    assert len(frames) == 70
    assert metres.max() < 1e-4
    assert degrees.max() < 0.01


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


def test_odometry_can_be_left_unread(tmp_path: Path) -> None:
    frames = frames_of(write_bag(tmp_path / 'bag'), odom_topic='none')
    assert all(frame.odom_from_camera is None for frame in frames)


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


def test_poses_from_an_odometry_topic(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        bag.write_tf(START, 'base_link', 'camera', BASE_FROM_CAMERA, static=True)
        write_images(bag)
        for tick in range(51):
            pose = odom_from_base(tick / 20)
            bag.write_odometry(
                '/odom', START + tick * SECOND // 20, 'odom', 'base_link', MAP_FROM_ODOM @ pose
            )
    frames = frames_of(path, poses_topic='/odom')
    for number, frame in enumerate(frames):
        metres, _ = pose_distance(frame.map_from_camera, map_from_camera(0.01 + number / 5))
        assert metres < 1e-9
        np.testing.assert_array_equal(frame.odom_from_camera, frame.map_from_camera)


@pytest.mark.parametrize('child', ['base', 'camera'])
def test_poses_from_a_pose_topic(tmp_path: Path, child: str) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        if child == 'base':
            bag.write_tf(START, 'base_link', 'camera', BASE_FROM_CAMERA, static=True)
        write_images(bag)
        for number in range(10):
            seconds = 0.01 + number / 5
            pose = map_from_camera(seconds)
            if child == 'base':
                pose = MAP_FROM_ODOM @ odom_from_base(seconds)
            bag.write_pose('/truth', START + round(seconds * SECOND), 'map', pose)
    frames = frames_of(path, poses_topic='/truth', poses_child=child)
    for number, frame in enumerate(frames):
        np.testing.assert_allclose(
            frame.map_from_camera, map_from_camera(0.01 + number / 5), atol=1e-9
        )


def test_poses_of_the_base_without_its_transform_name_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        write_images(bag)
    file = tmp_path / 'base.tum'
    stamps = np.array([START, START + 3 * SECOND])
    write_tum(file, Trajectory(stamps, np.stack([odom_from_base(0.0), odom_from_base(3.0)])))
    with pytest.raises(InputError) as caught:
        frames_of(path, poses_file=str(file))
    assert "poses of base_link need its transform to the camera frame 'camera'" in str(caught.value)
    assert '--set source.poses_child=camera' in str(caught.value)
    assert (
        len(frames_of(path, poses_file=str(file), poses_child='camera', max_pose_gap_s=5.0)) == 10
    )


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
