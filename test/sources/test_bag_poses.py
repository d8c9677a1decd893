"""Where the poses of a bag come from, and why it has none."""

from __future__ import annotations

from pathlib import Path

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
    message_of,
    odom_from_base,
    picture,
    write_bag,
    write_images,
    write_transforms,
)

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.sources import Frame, SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter
from hloc_localizer.sources.tum import read_tum, write_tum


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


def test_odometry_can_be_left_unread(tmp_path: Path) -> None:
    frames = frames_of(write_bag(tmp_path / 'bag'), odom_topic='none')
    assert all(frame.odom_from_camera is None for frame in frames)


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


def test_missing_pose_topic_lists_those_of_the_type(tmp_path: Path) -> None:
    message = message_of(write_bag(tmp_path / 'bag'), poses_topic='/amcl_pose')
    assert "topic '/amcl_pose' is not in the bag" in message
    assert 'Odometry or PoseStamped or PoseWithCovarianceStamped: none' in message


@pytest.mark.parametrize('kind', ['file', 'topic'])
def test_poses_that_are_not_given(tmp_path: Path, kind: str) -> None:
    message = message_of(write_bag(tmp_path / 'bag'), poses=kind)
    assert f'--set source.poses_{kind}=' in message


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
