"""What may change while the localizer node runs: its map, its options, whether it looks."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from changed_maps import copy_in_frame, copy_with, other_floor
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from robot import BASE_FROM_CAMERA, CAMERA_FRAME, Robot, robot_with_node
from ros_process import wait_until
from std_srvs.srv import SetBool
from tf2_msgs.msg import TFMessage

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.maps.store import RUNTIME_NAME
from hloc_localizer.ros import environment, messages, tf
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.sources import Frame

CHANGEABLE = ('map', 'track', 'relocalize_timeout_s', 'stale_after_s')
ODOM_FROM_BASE = transforms.transform_from(np.eye(3), [1.0, 2.0, 0.0])


@contextmanager
def _running(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera], **parameters: object
) -> Iterator[Robot]:
    given = {'map': lounge_map, 'tf_timeout_s': 0.05, **parameters}
    with (
        environment.isolated() as variables,
        robot_with_node(variables, *frame_and_camera, **given) as robot,
    ):
        yield robot


@pytest.fixture(scope='module')
def robot(lounge_map: Path, frame_and_camera: tuple[Frame, Camera]) -> Iterator[Robot]:
    with _running(lounge_map, frame_and_camera) as robot:
        yield robot


def _set(robot: Robot, name: str, value: object) -> SetParametersResult:
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    service = '/hloc_localizer/set_parameters'
    return robot.client.call(SetParameters, service, request, 20.0).results[0]


def _localized(robot: Robot) -> bool:
    return robot.answer_to(robot.image())['status'] == 'localized'


def test_enable_stops_looking_at_images_and_resumes(robot: Robot) -> None:
    assert _localized(robot)

    def enable(data: bool) -> None:
        request = SetBool.Request(data=data)
        assert robot.client.call(SetBool, '/hloc_localizer/enable', request).success

    enable(False)
    enable(False)
    wait_until(lambda: not robot.client.node.count_subscribers('/image'), 5.0, 'no listening')
    before = len(robot.status)
    robot.publish(robot.image())
    time.sleep(0.5)
    assert len(robot.status) == before
    images = robot.diagnosis('images')
    assert (images.level, images.message[:15]) == (DiagnosticStatus.OK, 'not listened to')
    enable(True)
    robot.wait_for_node()
    assert _localized(robot)


def test_the_map_is_swapped_while_the_node_runs(
    robot: Robot, lounge_map: Path, tmp_path: Path
) -> None:
    other = copy_in_frame(lounge_map, tmp_path / 'floor_2', 'floor_2')
    assert _set(robot, 'map', str(other)).successful
    before = len(robot.poses)
    assert _localized(robot)
    wait_until(lambda: len(robot.poses) > before, 2.0, 'a pose')
    assert robot.poses.messages[-1].header.frame_id == 'floor_2'
    facts = {v.key: v.value for v in robot.diagnosis('map').values}
    assert (facts['path'], facts['frame']) == (str(other), 'floor_2')
    assert _set(robot, 'map', str(lounge_map)).successful
    assert _localized(robot)


def test_a_map_that_was_built_anew_is_loaded_when_it_is_named_again(
    robot: Robot, lounge_map: Path, tmp_path: Path
) -> None:
    path = copy_in_frame(lounge_map, tmp_path / 'map', 'first')
    assert _set(robot, 'map', str(path)).successful
    assert _localized(robot)
    shutil.rmtree(path)
    assert 'no such map folder' in _set(robot, 'map', str(path)).reason
    copy_in_frame(lounge_map, path, 'second')
    assert _set(robot, 'map', str(path)).successful
    before = len(robot.poses)
    assert _localized(robot)
    wait_until(lambda: len(robot.poses) > before, 2.0, 'a pose')
    assert robot.poses.messages[-1].header.frame_id == 'second'
    assert _set(robot, 'map', str(path)).successful  # the same: what is known stays
    answer = robot.answer_to(robot.image(np.zeros_like(robot.frame.image)))
    assert answer['state'] in ('degraded', 'lost')
    assert _set(robot, 'map', str(lounge_map)).successful


def test_of_several_maps_the_right_one_is_found(
    robot: Robot, lounge_map: Path, tmp_path: Path
) -> None:
    floors = []
    for name in ('floor_1', 'floor_3'):
        floors.append(other_floor(lounge_map, tmp_path / name, name))
    right = copy_in_frame(lounge_map, tmp_path / 'floor_2', 'floor_2')
    names = f'{floors[0]}, {right},{floors[1]}'
    assert _set(robot, 'map', names).successful
    answers = [robot.answer_to(robot.image())['status'] for _ in range(3)]
    assert answers == ['refused'] * 3
    wait_until(lambda: _path_of_map(robot) == str(right), 5.0, 'the right map')
    before = len(robot.poses)
    assert _localized(robot)
    wait_until(lambda: len(robot.poses) > before, 2.0, 'a pose')
    assert robot.poses.messages[-1].header.frame_id == 'floor_2'
    assert not _set(robot, 'map', f'{right},/nowhere').successful
    assert _localized(robot)
    assert _set(robot, 'map', str(lounge_map)).successful


def test_between_two_maps_of_the_same_looks_only_a_person_decides(
    robot: Robot, lounge_map: Path, tmp_path: Path
) -> None:
    twins = [copy_in_frame(lounge_map, tmp_path / f'floor_{n}', f'floor_{n}') for n in (1, 2)]
    assert _set(robot, 'map', f'{twins[0]},{twins[1]}').successful
    silent = len(robot.poses)
    for _ in range(4):
        answer = robot.answer_to(robot.image())
        assert (answer['status'], answer['reason']) == ('refused', 'ambiguous')
        assert f'{twins[0]} (' in answer['detail']
        assert f'{twins[1]} (' in answer['detail']
    assert len(robot.poses) == silent
    robot.say_where('floor_3')  # a map that is not loaded
    assert robot.answer_to(robot.image())['reason'] == 'ambiguous'
    for floor in ('floor_1', 'floor_2', 'floor_1'):
        robot.say_where(floor)
        assert _localized(robot)
        _wait_for_poses_in(robot, floor)
        assert _path_of_map(robot) == str(twins[int(floor[-1]) - 1])
    assert _set(robot, 'map', str(lounge_map)).successful


def test_a_bad_new_map_leaves_the_old_one_working_and_says_why(
    robot: Robot, lounge_map: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / 'damaged'
    shutil.copytree(lounge_map, damaged)
    os.truncate(damaged / RUNTIME_NAME, 1000)
    (tmp_path / 'loop').symlink_to('loop')
    huge = copy_with(
        lounge_map,
        tmp_path / 'huge',
        {'width: 540': 'width: 3000000', 'height: 360': 'height: 3000000'},
    )
    for value, named in (
        ('/nowhere', '/nowhere: there is no such map folder'),
        (str(damaged), 'has 1000 bytes instead of'),
        (str(tmp_path), 'not a map'),
        ('', "parameter 'map' is not set"),
        ('\0', 'map'),
        ('x' * 300, "parameter 'map': 'xxx"),
        ('~nosuchuser/map', "parameter 'map': '~nosuchuser/map'"),
        (f'{tmp_path}/loop/map', 'symbolic links'),
        (str(huge), '3000000x3000000'),
    ):
        result = _set(robot, 'map', value)
        assert not result.successful
        assert named in result.reason
        assert '\n' not in result.reason
        assert _localized(robot)
    facts = {v.key: v.value for v in robot.diagnosis('map').values}
    assert facts['path'] == str(lounge_map)


def test_options_of_localizing_change_at_once_and_structure_does_not(robot: Robot) -> None:
    assert _set(robot, 'localization.accept.min_inliers', 9999).successful
    answer = robot.answer_to(robot.image())
    assert (answer['status'], answer['reason']) == ('refused', 'few inliers')
    refused = _set(robot, 'localization.accept.min_inliers', -1)
    assert not refused.successful
    assert _set(robot, 'localization.accept.min_inliers', 14).successful
    assert _localized(robot)
    changeable = ('localization.', 'tracking.', 'record_failures')
    for leaf in LocalizerNodeOptions().leaves():
        if leaf.name.startswith(changeable) or leaf.name in CHANGEABLE:
            continue
        result = _set(robot, leaf.name, 'other' if leaf.type is str else leaf.value)
        assert not result.successful, leaf.name
        assert 'deactivate and clean up' in result.reason


def test_failures_are_kept_from_when_a_folder_is_given(
    robot: Robot, lounge_map: Path, tmp_path: Path
) -> None:
    black = np.zeros_like(robot.frame.image)
    robot.answer_to(robot.image(black))
    other = copy_in_frame(lounge_map, tmp_path / 'other', 'other')
    assert _set(robot, 'record_failures', str(tmp_path / 'kept')).successful
    assert _set(robot, 'map', str(other)).successful
    for nowhere in ('/proc/nowhere', '~nosuchuser/kept', 'x' * 300):
        refused = _set(robot, 'record_failures', nowhere)
        assert not refused.successful
        assert "parameter 'record_failures'" in refused.reason
    robot.answer_to(robot.image(black))
    assert _set(robot, 'record_failures', '').successful
    (kept,) = (tmp_path / 'kept').iterdir()
    assert kept.name.endswith('_too_dark_or_too_bright')
    assert json.loads((kept / 'frame.json').read_text(encoding='utf-8'))['map'] == str(other)
    assert _set(robot, 'map', str(lounge_map)).successful


def test_a_recording_that_loops_without_a_clock_is_localized_each_time(robot: Robot) -> None:
    assert _localized(robot)
    for _ in range(3):
        answers = []
        for ago_s in range(35, 0, -5):
            image = robot.image()
            stamp_ns = messages.stamp_to_ns(image.header.stamp) - ago_s * 10**9
            image.header.stamp = messages.stamp_from_ns(stamp_ns)
            answers.append(robot.answer_to(image)['status'])
        assert answers == ['refused'] * 4 + ['localized'] * 3


@pytest.mark.parametrize('tf_mode', ['map_to_base', 'none', 'map_to_odom'])
def test_tf_mode_decides_what_is_broadcast(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera], tf_mode: str
) -> None:
    with _running(lounge_map, frame_and_camera, tf_mode=tf_mode) as robot:
        heard = robot.client.listen(TFMessage, '/tf')
        broadcaster = tf.StaticTransformBroadcaster(robot.client.node)
        broadcaster.sendTransform(
            [
                messages.transform_message('odom', 'base_link', 0, ODOM_FROM_BASE),
                messages.transform_message('base_link', CAMERA_FRAME, 0, BASE_FROM_CAMERA),
            ]
        )
        time.sleep(0.5)
        image = robot.image()
        assert robot.answer_to(image)['status'] == 'localized'
        time.sleep(0.5)
        wait_until(lambda: len(robot.poses), 2.0, 'a pose')
        pose = messages.pose_from_message(robot.poses.messages[-1].pose)
        links = [t for m in heard.messages for t in m.transforms]
        named = {(t.header.frame_id, t.child_frame_id) for t in links}
    if tf_mode == 'none':
        assert named == set()
        return
    child = 'odom' if tf_mode == 'map_to_odom' else 'base_link'
    assert named == {('map', child)}
    sent = messages.transform_from_message(links[-1].transform)
    expected = pose if child == 'base_link' else pose @ transforms.invert(ODOM_FROM_BASE)
    np.testing.assert_allclose(sent, expected, atol=1e-9)
    if child == 'base_link':
        assert links[-1].header.stamp == image.header.stamp


def _wait_for_poses_in(robot: Robot, frame: str) -> None:
    poses = robot.poses.messages
    wait_until(lambda: poses and poses[-1].header.frame_id == frame, 2.0, f'a pose in {frame}')


def _path_of_map(robot: Robot) -> str:
    return {v.key: v.value for v in robot.diagnosis('map').values}['path']
