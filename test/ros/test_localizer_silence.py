"""The localizer node without images that can be used: the pose becomes uncertain, then lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from robot import Odometry, Robot, corrections, robot_with_node
from ros_process import Heard, wait_until
from tf2_msgs.msg import TFMessage

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import messages, tf
from hloc_localizer.sources import Frame

STALE_AFTER_S = 0.6


@dataclass
class Watched:
    """A robot with odometry, and what it hears of the node."""

    robot: Robot
    odometry: Odometry
    tf: Heard

    def report(self) -> tuple[bytes, str, dict[str, str]]:
        """Return level, message and values of the diagnostics of the localization."""
        status = self.robot.diagnosis('localization')
        return status.level, status.message, {v.key: v.value for v in status.values}

    def goes_on(self) -> bool:
        """Tell whether ``map -> odom`` is broadcast."""
        before = corrections(self.tf)
        time.sleep(0.4)
        return corrections(self.tf) > before


@pytest.fixture(scope='module')
def watched(
    lounge_map: Path,
    frame_and_camera: tuple[Frame, Camera],
    module_environment: dict[str, str],
) -> Iterator[Watched]:
    parameters: dict[str, object] = {
        'map': lounge_map,
        'tf_timeout_s': 0.1,
        'stale_after_s': STALE_AFTER_S,
        'tracking.drift.position_after_1m': 0.1,
        'tracking.max_position_sigma_m': 0.15,  # passed after two metres
    }
    with robot_with_node(module_environment, *frame_and_camera, **parameters) as robot:
        yield Watched(robot, Odometry(robot.client), robot.client.listen(TFMessage, '/tf'))


@pytest.fixture(autouse=True)
def _localized(watched: Watched) -> None:
    watched.odometry.on = True
    watched.robot.send_info()
    time.sleep(0.3)
    answer = watched.robot.answer_to(watched.robot.image())
    assert (answer['status'], answer['state']) == ('localized', 'localized')
    wait_until(watched.goes_on, 5.0, 'map -> odom')


def _no_images(watched: Watched) -> None:
    """Let the camera be dead."""


def _corrupt(watched: Watched) -> None:
    image = watched.robot.image()
    image.data = image.data[: len(image.data) // 2]
    assert watched.robot.answer_to(image)['reason'] == 'corrupt image'


def _uncalibrated(watched: Watched) -> None:
    watched.robot.send_info(k=[0.0] * 9)
    assert watched.robot.answer_to(watched.robot.image())['reason'] == 'no intrinsics'


@pytest.mark.parametrize('send', [_no_images, _corrupt, _uncalibrated])
def test_a_robot_that_drives_blindly_is_lost_wherever_it_ends(
    watched: Watched, send: Callable[[Watched], None]
) -> None:
    """To and fro: what counts is the way, not where it ends."""
    poses = len(watched.robot.poses)
    for metres in (0.5, -0.5):
        watched.odometry.drive(metres)
        send(watched)
    time.sleep(STALE_AFTER_S + 0.3)
    send(watched)
    level, message, values = watched.report()
    assert level == DiagnosticStatus.WARN
    assert values['state'] == 'degraded'
    assert 'the last pose that an image gave is' in message or send is not _no_images
    assert float(values['age_of_fix_s']) > STALE_AFTER_S
    assert watched.goes_on()
    for metres in (1.0, -1.0):
        watched.odometry.drive(metres)
        send(watched)
    time.sleep(STALE_AFTER_S + 0.3)
    send(watched)
    level, message, values = watched.report()
    assert (level, values['state']) == (DiagnosticStatus.WARN, 'lost')
    assert message.startswith('lost: the last pose that an image gave is')
    assert not watched.goes_on()
    assert len(watched.robot.poses) == poses


def test_a_pose_is_lost_also_where_parameters_changed_since_the_last_image(
    watched: Watched,
) -> None:
    change = Parameter('tracking.gate', value=22.0).to_parameter_msg()
    request = SetParameters.Request(parameters=[change])
    service = '/hloc_localizer/set_parameters'
    assert watched.robot.client.call(SetParameters, service, request).results[0].successful
    assert watched.goes_on()
    for metres in (1.5, -1.5):
        watched.odometry.drive(metres)
    time.sleep(STALE_AFTER_S + 0.3)
    assert watched.report()[2]['state'] == 'lost'
    assert not watched.goes_on()


def test_a_robot_that_stands_keeps_its_pose(watched: Watched) -> None:
    time.sleep(3.0)
    level, message, values = watched.report()
    assert (level, values['state']) == (DiagnosticStatus.WARN, 'degraded')
    assert message.startswith('degraded: the last pose that an image gave is')
    assert watched.goes_on()


def test_without_odometry_a_pose_is_lost_soon(watched: Watched) -> None:
    watched.odometry.on = False
    time.sleep(STALE_AFTER_S + 1.0)
    assert not watched.goes_on()
    assert watched.report()[2]['state'] == 'lost'
    watched.odometry.on = True


def test_a_second_broadcaster_of_map_to_odom_is_noticed_until_it_stops(watched: Watched) -> None:
    assert 'another node' not in watched.robot.diagnosis('inputs').message
    broadcaster = tf.TransformBroadcaster(watched.robot.client.node)
    broadcaster.sendTransform(messages.transform_message('map', 'odom', time.time_ns(), np.eye(4)))
    time.sleep(0.3)
    inputs = watched.robot.diagnosis('inputs')
    assert inputs.level == DiagnosticStatus.ERROR
    assert 'another node broadcasts map -> odom, too' in inputs.message
    time.sleep(5.0)
    assert 'another node' not in watched.robot.diagnosis('inputs').message
