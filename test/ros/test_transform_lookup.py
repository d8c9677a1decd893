"""Transforms that a node asks for: absurd ones and times that are none are refused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_process import wait_until

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.ros import messages, tf
from hloc_localizer.ros.transform_lookup import TransformTree

STAMP_NS = 1_700_000_000_000_000_000


@pytest.fixture
def node(ros_environment: dict[str, str]) -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context, args=[], domain_id=int(ros_environment['ROS_DOMAIN_ID']))
    made = Node('asking', context=context)
    yield made
    made.destroy_node()
    rclpy.shutdown(context=context)


def test_a_transform_longer_than_any_map_is_refused(node: Node) -> None:
    tree = TransformTree(node)
    broadcaster = tf.StaticTransformBroadcaster(node)
    executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    links = {'near': 0.5, 'far': 1e300, 'just_beyond': 2e7}
    poses = {
        child: transforms.transform_from(np.eye(3), [x, 0.0, 0.0]) for child, x in links.items()
    }
    broadcaster.sendTransform(
        [messages.transform_message('base', child, STAMP_NS, pose) for child, pose in poses.items()]
    )

    def heard() -> bool:
        executor.spin_once(timeout_sec=0.05)
        try:
            return bool(tree.lookup('base', 'near', STAMP_NS)[0, 3] == 0.5)
        except InputError:
            return False

    wait_until(heard, 10.0, 'the transforms')
    for child in ('far', 'just_beyond'):
        with pytest.raises(InputError, match=f'base -> {child} is longer than 1e\\+07 m'):
            tree.lookup('base', child, STAMP_NS)
    with pytest.raises(InputError, match='is no time'):
        tree.lookup('base', 'near', -1)


def test_transforms_of_best_effort_publishers_are_heard(node: Node) -> None:
    """And none is held back until a lost one before it was sent again."""
    tree = TransformTree(node)
    (heard_by,) = node.get_subscriptions_info_by_topic('/tf')
    assert heard_by.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    (heard_by,) = node.get_subscriptions_info_by_topic('/tf_static')
    assert heard_by.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    broadcaster = tf.TransformBroadcaster(node, qos)
    executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    pose = transforms.transform_from(np.eye(3), [0.5, 0.0, 0.0])

    def heard() -> bool:
        broadcaster.sendTransform(messages.transform_message('odom', 'base', STAMP_NS, pose))
        executor.spin_once(timeout_sec=0.05)
        try:
            return bool(tree.lookup('odom', 'base', STAMP_NS)[0, 3] == 0.5)
        except InputError:
            return False

    wait_until(heard, 10.0, 'the transform')
    tree.close()
