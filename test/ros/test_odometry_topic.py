"""Odometry from a topic: what is refused, what is interpolated, and the node that lives by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion
from nav_msgs.msg import Odometry
from robot import corrections, robot_with_node
from ros_process import Client, wait_until
from tf2_msgs.msg import TFMessage

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import messages
from hloc_localizer.ros.odometry_topic import TreeWithOdometry, transform_tree
from hloc_localizer.ros.transform_lookup import TransformTree
from hloc_localizer.sources import Frame

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND


def _message(
    stamp_ns: int, x: float = 0.0, frames: tuple[str, str] = ('odom', 'base_link'), w: float = 1.0
) -> Odometry:
    pose = Pose(position=Point(x=x), orientation=Quaternion(w=w))
    return Odometry(
        header=messages.header(frames[0], stamp_ns),
        child_frame_id=frames[1],
        pose=PoseWithCovariance(pose=pose),
    )


class _Told:
    """A tree that is told of odometry over DDS."""

    def __init__(self, client: Client) -> None:
        self.tree = TreeWithOdometry(
            client.node, topic='odometry', odom_frame='odom', base_frame='base_link'
        )
        self._publisher = client.node.create_publisher(Odometry, 'odometry', 100)
        wait_until(self._publisher.get_subscription_count, 5.0, 'the subscription')

    def tell(self, *told: Odometry) -> None:
        for message in told:
            self._publisher.publish(message)
        time.sleep(0.2)

    def x(self, seconds: float, timeout_s: float = 0.0) -> float:
        stamp_ns = BEGIN + round(seconds * SECOND) if seconds else 0
        return float(self.tree.lookup('odom', 'base_link', stamp_ns, timeout_s)[0, 3])


@pytest.fixture
def told(ros_environment: dict[str, str]) -> Iterator[_Told]:
    client = Client(ros_environment)
    made = _Told(client)
    yield made
    made.tree.close()
    client.close()


def test_it_is_interpolated_at_a_stamp_and_not_beyond(told: _Told) -> None:
    told.tell(*(_message(BEGIN + number * SECOND // 10, 0.1 * number) for number in (2, 1, 4, 3)))
    assert told.x(0.25) == pytest.approx(0.25)
    assert told.x(0.1) == pytest.approx(0.1)
    assert told.x(0.0) == pytest.approx(0.4)  # the newest
    for seconds, named in ((0.45, 'newer than the newest'), (0.05, 'older than the oldest')):
        with pytest.raises(InputError, match=named):
            told.x(seconds)
    told.tell(_message(BEGIN + 30 * SECOND, 3.0))
    with pytest.raises(InputError, match='older than the oldest'):
        told.x(0.25)  # kept for ten seconds


@pytest.mark.parametrize(
    ('wrong', 'named'),
    [
        (_message(BEGIN, frames=('map', 'base_link')), "of 'base_link' in 'map'"),
        (_message(BEGIN, frames=('odom', 'base_footprint')), "of 'base_footprint' in 'odom'"),
        (_message(BEGIN, x=float('nan')), 'pose'),
        (_message(BEGIN, x=1e9), 'further away'),
        (_message(BEGIN, w=0.0), 'pose'),
        (_message(0), 'odometry has no stamp'),
    ],
)
def test_what_cannot_be_is_refused_and_named(told: _Told, wrong: Odometry, named: str) -> None:
    told.tell(wrong)
    with pytest.raises(InputError, match=named):
        told.x(0.0)
    told.tell(_message(BEGIN + SECOND, 1.0))
    assert told.x(0.0) == 1.0


def test_a_few_odd_stamps_change_nothing_and_a_time_that_begins_anew_is_followed(
    told: _Told,
) -> None:
    told.tell(*(_message(BEGIN + number * SECOND // 10, 1.0) for number in range(5)))
    told.tell(_message(BEGIN - 500 * SECOND, 7.0), _message(BEGIN + 10**6 * SECOND, 7.0))
    assert told.x(0.35) == 1.0
    earlier = [BEGIN - 500 * SECOND + number * SECOND // 10 for number in range(6)]
    told.tell(*(_message(stamp_ns, 2.0) for stamp_ns in earlier))
    assert told.x(0.0) == 2.0


def test_after_a_jump_that_is_known_the_first_message_counts(told: _Told) -> None:
    told.tell(*(_message(BEGIN + number * SECOND // 10, 1.0) for number in range(5)))
    told.tree.clear()
    with pytest.raises(InputError, match='since time jumped'):
        told.x(0.0)
    told.tell(_message(BEGIN - 500 * SECOND, 2.0))
    assert told.x(0.0) == 2.0
    told.tree.clear()
    with pytest.raises(InputError, match='no odometry has arrived'):
        told.x(0.0)


def test_other_transforms_are_those_of_tf_and_no_topic_means_tf(told: _Told) -> None:
    with pytest.raises(InputError, match='no transform base_link -> camera'):
        told.tree.lookup('base_link', 'camera', BEGIN)
    node = told.tree._node
    tree = transform_tree(node, odom_topic='', odom_frame='odom', base_frame='base_link')
    assert type(tree) is TransformTree
    tree.close()
    with pytest.raises(InputError, match="parameter 'odom_topic': 'no topic' is no name"):
        transform_tree(node, odom_topic='no topic', odom_frame='odom', base_frame='base_link')


def test_the_node_carries_the_pose_on_with_odometry_that_is_not_in_tf(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera], ros_environment: dict[str, str]
) -> None:
    parameters: dict[str, object] = {'map': lounge_map, 'odom_topic': '/wheels/odometry'}
    with robot_with_node(ros_environment, *frame_and_camera, **parameters) as robot:
        tf = robot.client.listen(TFMessage, '/tf')
        publisher = robot.client.node.create_publisher(Odometry, '/wheels/odometry', 10)
        metres, frames = [0.0], [('odom', 'base_link')]
        robot.client.node.create_timer(
            0.02, lambda: publisher.publish(_message(time.time_ns(), metres[0], frames[0]))
        )
        wait_until(publisher.get_subscription_count, 5.0, 'the subscription of odometry')
        time.sleep(0.2)
        assert robot.answer_to(robot.image())['status'] == 'localized'
        wait_until(lambda: corrections(tf) >= 3, 5.0, 'map -> odom')
        for index in range(10):
            metres[0] = 0.05 * (index + 1)
            time.sleep(0.05)
        black = robot.image(np.zeros_like(frame_and_camera[0].image))
        assert robot.answer_to(black)['status'] == 'bridged'
        wait_until(lambda: len(robot.poses) == 2, 5.0, 'both poses')
        before, after = (messages.pose_from_message(m.pose) for m in robot.poses.messages)
        moved = np.linalg.inv(before) @ after
        np.testing.assert_allclose(moved[:3, 3], [0.5, 0.0, 0.0], atol=1e-6)
        assert 'odometry' not in robot.diagnosis('inputs').message
        frames[0] = ('odom', 'base_footprint')
        time.sleep(0.3)
        robot.answer_to(robot.image())
        assert "of 'base_footprint' in 'odom'" in robot.diagnosis('inputs').message
