"""The localizer node and stamps that are wrong: only a real jump of time makes it forget."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from robot import Odometry, Robot, corrections, robot_with_node
from ros_process import Client, wait_until
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import messages
from hloc_localizer.ros.localizer import LocalizerNode
from hloc_localizer.sources import Frame

YEAR_S = 365 * 86400


@dataclasses.dataclass
class Watched:
    """A robot, and the ``map -> odom`` of the node."""

    robot: Robot
    tf: Any

    def corrections(self) -> int:
        """Return how often ``map -> odom`` was broadcast."""
        return corrections(self.tf)

    def has_corrections(self, count: int) -> bool:
        """Tell whether ``map -> odom`` was broadcast so often."""
        return self.corrections() >= count

    def stamp_of_correction_ns(self) -> int:
        """Return the stamp of the last ``map -> odom``."""
        stamps = [
            transform.header.stamp
            for message in self.tf.messages
            for transform in message.transforms
            if transform.child_frame_id == 'odom'
        ]
        return messages.stamp_to_ns(stamps[-1])

    def answer(self, stamp_ns: int | None = None) -> dict[str, str]:
        """Return the answer to an image of a stamp; None: now."""
        image = self.robot.image()
        if stamp_ns is not None:
            image.header.stamp = messages.stamp_from_ns(stamp_ns)
        return self.robot.answer_to(image)


@pytest.fixture(scope='module')
def watched(
    lounge_map: Path,
    frame_and_camera: tuple[Frame, Camera],
    module_environment: dict[str, str],
) -> Iterator[Watched]:
    parameters: dict[str, object] = {'map': lounge_map, 'tf_timeout_s': 0.1}
    with robot_with_node(module_environment, *frame_and_camera, **parameters) as robot:
        odometry = Odometry(robot.client)
        yield Watched(robot, robot.client.listen(TFMessage, '/tf'))
        del odometry


@pytest.mark.parametrize(
    ('shift_s', 'reason', 'named'),
    [
        (None, 'no stamp', 'has no stamp'),
        (-1000, 'stale', 's older than the last'),
        (YEAR_S, 'stale', 'newer than the last'),
    ],
)
def test_one_wrong_stamp_is_refused_and_costs_nothing(
    watched: Watched, shift_s: int | None, reason: str, named: str
) -> None:
    answer = watched.answer()
    assert (answer['status'], answer['state']) == ('localized', 'localized')
    before = watched.corrections()
    poses = len(watched.robot.poses)
    for _ in range(3):
        stamp_ns = 0 if shift_s is None else time.time_ns() + shift_s * 10**9
        answer = watched.answer(stamp_ns)
        assert (answer['status'], answer['reason']) == ('refused', reason)
        assert named in answer['detail']
    wait_until(lambda: watched.corrections() >= before + 5, 2.0, 'map -> odom going on')
    answer = watched.answer()
    assert (answer['status'], answer['state']) == ('localized', 'localized')
    wait_until(lambda: len(watched.robot.poses) == poses + 1, 2.0, 'the pose')


def test_several_images_of_an_older_time_begin_anew(watched: Watched) -> None:
    assert watched.answer()['state'] == 'localized'
    begin_ns = time.time_ns() - 1000 * 10**9
    answers = [watched.answer(begin_ns + number * 10**8) for number in range(6)]
    assert [one['reason'] for one in answers] == ['stale'] * 4 + ['none'] * 2
    assert answers[-1]['status'] == 'localized'


def test_map_to_odom_goes_on_whichever_clock_the_node_is_told_to_follow(watched: Watched) -> None:
    node = watched.robot.client.node
    simulated = node.create_publisher(Clock, '/clock', 1)
    began = time.monotonic()

    def tell() -> None:
        seconds = 1000.0 + time.monotonic() - began  # as simulators count
        simulated.publish(Clock(clock=messages.stamp_from_ns(int(seconds * 1e9))))

    timer = node.create_timer(0.02, tell)
    for use_sim_time in (True, False):
        # After a jump of time the first images are refused.
        wait_until(lambda: watched.answer()['status'] == 'localized', 5.0, 'a fix')
        given = Parameter('use_sim_time', value=use_sim_time).to_parameter_msg()
        request = SetParameters.Request(parameters=[given])
        service = '/hloc_localizer/set_parameters'
        assert watched.robot.client.call(SetParameters, service, request).results[0].successful
        time.sleep(0.3)
        enough = watched.corrections() + 5
        assert watched.answer()['status'] == 'localized'
        wait_until(partial(watched.has_corrections, enough), 5.0, 'map -> odom')
        ahead_s = (time.time_ns() - watched.stamp_of_correction_ns()) * 1e-9
        assert (ahead_s > 1e6) is use_sim_time
    node.destroy_timer(timer)
    node.destroy_publisher(simulated)


@pytest.mark.parametrize('track', [True, False])
def test_what_was_in_work_when_time_jumped_is_not_published(
    track: bool,
    lounge_map: Path,
    frame_and_camera: tuple[Frame, Camera],
    ros_environment: dict[str, str],
) -> None:
    client = Client(ros_environment)
    given = {'map': str(lounge_map), 'tf_timeout_s': 0.5, 'track': track}
    node = LocalizerNode(
        context=client.context,
        parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
    )
    executor = SingleThreadedExecutor(context=client.context)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        spinning.start()
        robot = Robot(client, *frame_and_camera)
        odometry = Odometry(client)
        robot.wait_for_node()
        robot.send_info()
        assert robot.answer_to(robot.image())['status'] == 'localized'
        lookup, poses = node._configured._around.transforms.lookup, len(robot.poses)

        active = node._active
        assert active is not None
        jumps = threading.Thread(target=active.begin_anew, args=('time jumped back',), daemon=True)
        waited_for_us: list[bool] = []

        def jump_meanwhile(target: str, *rest: Any) -> np.ndarray:
            found = lookup(target, *rest)
            if target == 'odom' and node._configured._around.transforms.lookup is not lookup:
                node._configured._around.transforms.lookup = lookup  # type: ignore[method-assign]
                jumps.start()
                jumps.join(2.0)
                waited_for_us.append(jumps.is_alive())
            return found

        node._configured._around.transforms.lookup = jump_meanwhile  # type: ignore[method-assign, assignment]
        answer = robot.answer_to(robot.image())
        assert waited_for_us == [False]
        assert (answer['status'], answer['reason']) == ('refused', 'stale')
        assert 'time jumped back' in answer['detail']
        assert node._configured.parts is not None
        assert node._configured.parts.map_to_odom.age_s is None
        assert len(robot.poses) == poses
        assert robot.answer_to(robot.image())['status'] == 'localized'
        del odometry
    finally:
        executor.shutdown()
        spinning.join()
        node.close()
        node.destroy_node()
        client.close()
