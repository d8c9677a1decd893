"""What users can get wrong with a bag: one line that names the thing and the remedy."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from bags import (
    BASE_FROM_CAMERA,
    CAMERA,
    IMAGE_TOPIC,
    INFO_TOPIC,
    SECOND,
    START,
    picture,
    write_bag,
    write_images,
    write_transforms,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter


def message_of(path: Path, **values: Any) -> str:
    """Read a bag to its end and return the one line of its error."""
    with pytest.raises(InputError) as caught:
        list(open_source(path, SourceOptions(**values)).frames())
    assert '\n' not in str(caught.value)
    return str(caught.value)


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


def test_absent_path(tmp_path: Path) -> None:
    assert message_of(tmp_path / 'absent.bag').endswith(
        'absent.bag: does not exist; give a bag, a video or a folder of images'
    )


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    file = tmp_path / 'notes.txt'
    file.write_text('hello')
    assert 'notes.txt: not a known kind of recording' in message_of(file)


def test_empty_folder(tmp_path: Path) -> None:
    assert 'neither a bag (no metadata.yaml, .mcap or .db3) nor a folder' in message_of(tmp_path)


@pytest.mark.parametrize('name', ['a.bag', 'a.mcap', 'a.db3'])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert f'{name}: the file is empty; record the bag again' in message_of(tmp_path / name)


@pytest.mark.parametrize('name', ['a.bag', 'a.mcap', 'a.db3'])
def test_file_that_is_no_bag(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(5000))
    assert f'{name}: the bag is damaged' in message_of(tmp_path / name)


def test_bag_without_messages(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag'):
        pass
    assert 'the bag holds no messages' in message_of(tmp_path / 'bag')


@pytest.mark.parametrize(('share', 'at_least'), [(0.3, 15), (0.9, 45), (0.99999, 70)])
def test_cut_mcap_is_read_up_to_its_last_whole_chunk(
    shared_data: Path, tmp_path: Path, share: float, at_least: int
) -> None:
    whole = (shared_data / 'data/lounge/query/query.mcap').read_bytes()
    file = tmp_path / 'cut.mcap'
    file.write_bytes(whole[: int(len(whole) * share)])
    source = open_source(file)
    frames = list(source.frames())
    expected = list(open_source(shared_data / 'data/lounge/query').frames())[: len(frames)]
    assert at_least <= len(frames) == len(source)
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in expected]
    np.testing.assert_array_equal(frames[-1].image, expected[-1].image)
    assert source.notes[-1] == f'{file} is cut off: read up to its last whole record'


def test_cut_mcap_in_the_folder_of_its_recorder(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    file = path / 'bag.mcap'
    file.write_bytes(file.read_bytes()[:-100])
    assert len(list(open_source(path).frames())) == 10


@pytest.mark.parametrize('size', [8, 9, 20, 60, 5000])
def test_mcap_cut_before_its_first_message(shared_data: Path, tmp_path: Path, size: int) -> None:
    whole = (shared_data / 'data/lounge/query/query.mcap').read_bytes()
    file = tmp_path / 'cut.mcap'
    file.write_bytes(whole[:size])
    message = message_of(file)
    assert 'holds no messages before it is cut off' in message or 'is damaged' in message


@pytest.mark.parametrize('share', [0.001, 0.5, 0.999])
def test_truncated_ros_1_bag(shared_data: Path, tmp_path: Path, share: float) -> None:
    whole = (shared_data / 'data/bags/t265_ros1.bag').read_bytes()
    file = tmp_path / 'cut.bag'
    file.write_bytes(whole[: int(len(whole) * share)])
    message = message_of(file, image_topic='/camera/fisheye1/image_raw')
    assert 'cut.bag: the bag is damaged or' in message
    assert 'rosbag reindex' in message


@pytest.mark.parametrize('share', [0.3, 0.9])
def test_truncated_sqlite(tmp_path: Path, share: float) -> None:
    file = write_bag(tmp_path / 'bag', storage='sqlite3') / 'bag.db3'
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    assert 'the bag is damaged or' in message_of(tmp_path / 'bag')


@pytest.fixture(scope='module')
def small_bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp('bags')
    mcap = write_bag(folder / 'plain') / 'plain.mcap'
    chunks = write_bag(folder / 'chunks', compression='storage') / 'chunks.mcap'
    sqlite = write_bag(folder / 'lite', storage='sqlite3') / 'lite.db3'
    return [mcap, chunks, sqlite]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_bytes_never_raise_anything_else(
    small_bags: list[Path], data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(small_bags))
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    changed = whole.with_name(f'changed{whole.suffix}')
    changed.write_bytes(raw[: data.draw(st.integers(len(raw) // 2, len(raw)))])
    with contextlib.suppress(InputError):
        assert len(list(open_source(changed).frames())) <= 10


def test_folder_whose_storage_file_is_gone(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    (path / 'bag.mcap').unlink()
    assert 'bag.mcap' in message_of(path)


@pytest.mark.parametrize('content', ['', '{', 'rosbag2_bagfile_information: 3', '[1, 2]'])
def test_broken_metadata(tmp_path: Path, content: str) -> None:
    path = write_bag(tmp_path / 'bag')
    (path / 'metadata.yaml').write_text(content)
    assert f'{path}: the bag is damaged' in message_of(path)


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


def test_missing_pose_topic_lists_those_of_the_type(tmp_path: Path) -> None:
    message = message_of(write_bag(tmp_path / 'bag'), poses_topic='/amcl_pose')
    assert "topic '/amcl_pose' is not in the bag" in message
    assert 'Odometry or PoseStamped or PoseWithCovarianceStamped: none' in message


@pytest.mark.parametrize('kind', ['file', 'topic'])
def test_poses_that_are_not_given(tmp_path: Path, kind: str) -> None:
    message = message_of(write_bag(tmp_path / 'bag'), poses=kind)
    assert f'--set source.poses_{kind}=' in message


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


def test_gap_in_tf_leaves_frames_without_a_pose_and_names_the_link(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag, without=(0.5, 1.2))
        write_images(bag)
    source = open_source(tmp_path / 'bag')
    missing = [number for number, f in enumerate(source.frames()) if f.map_from_camera is None]
    assert missing == [3, 4, 5]  # 0.61, 0.81 and 1.01 s
    (note,) = source.notes
    assert note.startswith('3 frames without a pose (first: TF link odom -> base_link has a gap')
    assert '0.700 s' in note
    bridged = open_source(tmp_path / 'bag', SourceOptions(max_pose_gap_s=1.0))
    assert all(frame.map_from_camera is not None for frame in bridged.frames())


def test_no_frame_with_a_pose(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag)
        for number in range(3):
            stamp = START + (60 + number) * SECOND
            bag.write_image(IMAGE_TOPIC, stamp, 'camera', picture(number))
            bag.write_camera_info(INFO_TOPIC, stamp, 'camera', CAMERA)
    message = message_of(tmp_path / 'bag', poses='tf')
    assert 'none of 3 images has a pose' in message
    assert 'TF link odom -> base_link ends 57.500 s before the stamp' in message
    source = open_source(tmp_path / 'bag')
    assert len(list(source.frames())) == 3  # enough for who only wants to localize them
    assert source.pose_problem == message


def test_disconnected_tree_names_the_missing_link(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag, mapped=False)
        bag.write_tf(START, 'map', 'charger', BASE_FROM_CAMERA, static=True)
        write_images(bag)
    message = message_of(tmp_path / 'bag', poses='tf')
    assert "TF does not connect 'map' with 'camera'" in message
    assert 'publish map -> odom' in message
    source = open_source(tmp_path / 'bag')
    assert 'publish map -> odom' in source.pose_problem


def test_images_without_frame_id(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag)
        bag.write_image(IMAGE_TOPIC, START, '', picture(0))
        bag.write_camera_info(INFO_TOPIC, START, '', CAMERA)
    message = message_of(tmp_path / 'bag', poses='tf')
    assert 'have no frame_id' in message
    assert '--set source.camera_frame=FRAME' in message
    (frame,) = open_source(tmp_path / 'bag', SourceOptions(camera_frame='camera')).frames()
    assert frame.map_from_camera is not None


def test_nothing_in_the_chosen_time_span(tmp_path: Path) -> None:
    message = message_of(write_bag(tmp_path / 'bag'), start_s=100.0)
    assert 'no image between source.start_s and its end' in message


def test_writer_leaves_nothing_half_written(tmp_path: Path) -> None:
    no_image = np.zeros((0, 0, 3), np.uint8)
    with pytest.raises(cv2.error), BagWriter(tmp_path / 'bag') as bag:
        bag.write_image(IMAGE_TOPIC, START, 'camera', no_image)
    assert not (tmp_path / 'bag').exists()
    (tmp_path / 'bag').mkdir()
    with pytest.raises(InputError, match=r'bag cannot be written: .* exists already'):
        BagWriter(tmp_path / 'bag')


def test_tf_static_is_latched(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    information = yaml.safe_load((path / 'metadata.yaml').read_text())
    topics = information['rosbag2_bagfile_information']['topics_with_message_count']
    durability = {
        each['topic_metadata']['name']: yaml.safe_load(
            each['topic_metadata']['offered_qos_profiles']
        )[0]['durability']
        for each in topics
    }
    assert durability['/tf_static'] == 1  # RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL
    assert durability['/tf'] == 2


def test_every_option_has_a_description() -> None:
    for leaf in SourceOptions().leaves():
        assert leaf.description.endswith('.')
    assert dataclasses.is_dataclass(SourceOptions)
