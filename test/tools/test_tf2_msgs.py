"""The tf2_msgs of this machine, built here or not, is the one that other machines have."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs ROS 2')
from geometry_msgs.msg import TransformStamped
from rclpy.serialization import deserialize_message, serialize_message
from tf2_msgs.msg import TFMessage

# As recorded by ROS 2 Jazzy, for instance in the metadata of its bags (REP-2011).
PUBLISHED_HASH = 'RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087'


def test_messages_survive_serialization() -> None:
    message = TFMessage(transforms=[TransformStamped(child_frame_id=name) for name in 'ab'])
    message.transforms[1].transform.translation.y = 2.5
    assert deserialize_message(serialize_message(message), TFMessage) == message


def test_wire_format_is_that_of_cdr() -> None:
    """Encapsulation (little endian), then a sequence of length zero."""
    assert serialize_message(TFMessage())[:8] == bytes([0, 1, 0, 0, 0, 0, 0, 0])


def test_type_hash_is_the_published_one(ros_environment: dict[str, str]) -> None:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(ros_environment['ROS_DOMAIN_ID']))
    node = rclpy.create_node('hash', context=context)
    try:
        node.create_publisher(TFMessage, '/tf', 1)
        info = node.get_publishers_info_by_topic('/tf')[0]
        if not hasattr(info, 'topic_type_hash'):
            pytest.skip('this ROS 2 is older than type hashes (Iron)')
        assert str(info.topic_type_hash) == PUBLISHED_HASH
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
