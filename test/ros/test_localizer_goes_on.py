"""While parameters change, the localizer node goes on: images, transforms, what it knows."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from robot import BASE_FROM_CAMERA, CAMERA_FRAME, Robot, robot_with_node
from ros_process import wait_until
from tf2_msgs.msg import TFMessage

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import messages, tf
from hloc_localizer.sources import Frame

COPIES = 6
"""Maps enough for loading to take a while."""


@pytest.fixture(scope='module')
def robot(
    lounge_map: Path,
    frame_and_camera: tuple[Frame, Camera],
    module_environment: dict[str, str],
) -> Iterator[Robot]:
    with robot_with_node(module_environment, *frame_and_camera, map=lounge_map) as robot:
        broadcaster = tf.StaticTransformBroadcaster(robot.client.node)
        broadcaster.sendTransform(
            [
                messages.transform_message('odom', 'base_link', 0, np.eye(4)),
                messages.transform_message('base_link', CAMERA_FRAME, 0, BASE_FROM_CAMERA),
            ]
        )
        time.sleep(0.5)
        yield robot


def _set(robot: Robot, *changes: tuple[str, object]) -> list[SetParametersResult]:
    given = [Parameter(name, value=value).to_parameter_msg() for name, value in changes]
    request = SetParameters.Request(parameters=given)
    service = '/hloc_localizer/set_parameters'
    return list(robot.client.call(SetParameters, service, request, 60.0).results)


def test_images_and_transforms_go_on_while_maps_load(
    robot: Robot, lounge_map: Path, tmp_path: Path
) -> None:
    heard = robot.client.listen(TFMessage, '/tf')
    copies = [tmp_path / f'floor_{number}' for number in range(COPIES)]
    for copy in copies:
        shutil.copytree(lounge_map, copy)
    for _ in range(2):
        assert robot.answer_to(robot.image())['status'] == 'localized'
    before, began = len(robot.status), time.monotonic()
    answers: list[SetParametersResult] = []
    names = ','.join(str(copy) for copy in copies)
    asking = threading.Thread(target=lambda: answers.extend(_set(robot, ('map', names))))
    asking.start()
    while asking.is_alive():
        robot.publish(robot.image())
        asking.join(0.1)
    took = time.monotonic() - began
    assert answers[0].successful
    meanwhile = robot.status.messages[before:]
    localized = [{v.key: v.value for v in one.values}['status'] for one in meanwhile]
    assert localized.count('localized') >= 3
    gaps = np.diff([t for t in heard.times if began <= t <= began + took])
    print(f'took {took:.2f} s; largest gap of map -> odom {gaps.max() * 1e3:.0f} ms')
    assert gaps.max() < 0.5 * took
    assert _set(robot, ('map', str(lounge_map)))[0].successful


@pytest.mark.parametrize(
    'change',
    [
        ('localization.accept.min_inliers', 13),
        ('localization.retrieval.max_places', 4),
        ('tracking.gate', 20.0),
    ],
    ids=lambda change: change[0],
)
def test_where_the_map_stays_the_pose_stays(robot: Robot, change: tuple[str, object]) -> None:
    heard = robot.client.listen(TFMessage, '/tf')
    for _ in range(2):
        assert robot.answer_to(robot.image())['status'] == 'localized'
    assert _set(robot, change)[0].successful
    answer = robot.answer_to(robot.image(np.zeros_like(robot.frame.image)))
    assert answer['status'] == 'bridged'
    count = len(heard)
    wait_until(lambda: len(heard) > count, 1.0, 'map -> odom')


def test_garbage_is_answered_and_localizing_goes_on(robot: Robot) -> None:
    for name, value in (
        ('map', 'x' * 100_000),
        ('map', 7),
        ('localization.accept.min_inliers', 'many'),
        ('localization.accept.min_inliers', float('nan')),
        ('no such parameter', True),
        ('', 1),
        ('localization', 1),
    ):
        assert not _set(robot, (name, value))[0].successful, name
    results = _set(robot, ('map', '/nowhere'), ('tracking.gate', 22.5), ('map', '/nowhere/else'))
    assert [one.successful for one in results] == [False, True, False]
    message = Parameter('tracking.gate', value=1.0).to_parameter_msg()
    message.value.type = 200
    request = SetParameters.Request(parameters=[message])
    answer = robot.client.call(SetParameters, '/hloc_localizer/set_parameters', request)
    assert not answer.results[0].successful
    assert robot.answer_to(robot.image())['status'] == 'localized'
