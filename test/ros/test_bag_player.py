"""The bag player: the same messages, in the same order, at the bag's own rate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_process import Client, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from tf2_msgs.msg import TFMessage

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.ros import messages
from hloc_localizer.ros.bag_player import BagPlayer, Playback, message_from_record
from hloc_localizer.sources.bag_reader import BagReader

IMAGES = '/camera/image_raw/compressed'
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope='module')
def client(module_environment: dict[str, str]) -> Iterator[Client]:
    client = Client(module_environment)
    yield client
    client.close()


@pytest.fixture(scope='module')
def query(shared_data: Path) -> Path:
    return shared_data / 'data' / 'lounge' / 'query'


@pytest.mark.alone
def test_messages_arrive_unchanged_in_order_and_in_time(client: Client, query: Path) -> None:
    images = client.listen(CompressedImage, '/seen')
    moving = client.listen(TFMessage, '/tf')
    static = client.listen(TFMessage, '/tf_static', LATCHED)
    clock = client.listen(Clock, '/clock')
    playback = Playback(
        rate=4.0, start_s=4.0, duration_s=4.0, clock=True, remap=((IMAGES, '/seen'),),
        wait_for=('/seen', '/tf'),
    )  # fmt: skip
    player = BagPlayer(node=client.node, bag=query, playback=playback)
    begin = time.monotonic()
    count = player.play()
    elapsed = time.monotonic() - begin
    player.close()
    with BagReader(query) as bag:
        start = bag.start_ns + 4_000_000_000
        recorded = list(bag.messages([IMAGES, '/tf'], start, start + 4_000_000_000))
    wait_until(lambda: len(images) + len(moving) == len(recorded), 5.0, 'all messages')
    assert count > len(recorded)
    assert 0.95 < elapsed < 3.0  # a busy machine is late
    sent = [message for topic, _, message in recorded if topic == IMAGES]
    for message, record in zip(images.messages, sent, strict=True):
        assert bytes(message.data) == record.data.tobytes()
        assert (message.header.stamp.sec, message.header.stamp.nanosec, message.format) == (
            record.header.stamp.sec, record.header.stamp.nanosec, record.format,
        )  # fmt: skip
    assert static.messages[0].transforms[0].child_frame_id == 'camera_optical_frame'
    times = [messages.stamp_to_ns(message.clock) for message in clock.messages]
    assert times == sorted(times)
    assert start <= times[0] < times[-1] <= start + 4_000_000_000


def test_restamped_messages_happen_now(client: Client, query: Path) -> None:
    images = client.listen(CompressedImage, '/now')
    playback = Playback(
        rate=4.0, duration_s=1.0, restamp=True, remap=((IMAGES, '/now'),), topics=(IMAGES,),
        wait_for=('/now',),
    )  # fmt: skip
    player = BagPlayer(node=client.node, bag=query, playback=playback)
    player.play()
    player.close()
    wait_until(lambda: len(images) == 5, 5.0, 'the images')
    age_s = time.time() - messages.stamp_to_ns(images.messages[0].header.stamp) * 1e-9
    assert 0.0 <= age_s < 5.0


def test_transforms_of_chosen_parents_are_left_out(client: Client, shared_data: Path) -> None:
    heard = client.listen(TFMessage, '/tf')
    playback = Playback(
        rate=10.0, duration_s=2.0, topics=('/tf',), skip_tf_parents=('map',), wait_for=('/tf',)
    )
    bag = shared_data / 'data' / 'lounge' / 'map'
    player = BagPlayer(node=client.node, bag=bag, playback=playback)
    count = player.play()
    player.close()
    wait_until(lambda: len(heard) == count, 5.0, 'the transforms')
    parents = {t.header.frame_id for message in heard.messages for t in message.transforms}
    assert parents == {'odom'}


def test_a_ros1_bag_is_played_too(client: Client, shared_data: Path) -> None:
    bag = shared_data / 'data' / 'bags' / 't265_ros1.bag'
    with BagReader(bag) as reader:
        topic = next(t.name for t in reader.topics_of('sensor_msgs/msg/Image'))
        record = reader.first(topic)
    heard = client.listen(Image, '/ros1')
    playback = Playback(topics=(topic,), remap=((topic, '/ros1'),), wait_for=('/ros1',))
    player = BagPlayer(node=client.node, bag=bag, playback=playback)
    count = player.play()
    player.close()
    wait_until(lambda: len(heard) == count, 5.0, 'the images')
    message = heard.messages[0]
    assert (message.width, message.height, message.encoding) == (848, 800, 'mono8')
    assert bytes(message.data) == record.data.tobytes()


def test_fields_are_copied_through_every_level(query: Path) -> None:
    with BagReader(query) as bag:
        static = bag.first('/tf_static')
    message = message_from_record(TFMessage, static)
    assert message.transforms[0].transform.rotation.x == 0.5
    assert message.transforms[0].header.frame_id == 'base_link'
    pose = message_from_record(PoseStamped, _record_of_a_pose())
    np.testing.assert_allclose(messages.pose_from_message(pose.pose), np.eye(4))


def _record_of_a_pose() -> Any:
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_HUMBLE).types
    stamp = types['builtin_interfaces/msg/Time'](sec=1, nanosec=2)
    return types['geometry_msgs/msg/PoseStamped'](
        header=types['std_msgs/msg/Header'](stamp=stamp, frame_id='map'),
        pose=types['geometry_msgs/msg/Pose'](
            position=types['geometry_msgs/msg/Point'](x=0.0, y=0.0, z=0.0),
            orientation=types['geometry_msgs/msg/Quaternion'](x=0.0, y=0.0, z=0.0, w=1.0),
        ),
    )


def test_what_a_user_gets_wrong_is_named(client: Client, query: Path) -> None:
    with pytest.raises(InputError, match="no topic '/cam'; topics: /camera/camera_info"):
        BagPlayer(node=client.node, bag=query, playback=Playback(topics=('/cam',)))
    with pytest.raises(InputError, match='restamp and clock'):
        BagPlayer(node=client.node, bag=query, playback=Playback(clock=True, restamp=True))
    lonely = Playback(wait_for=('/nobody',), wait_timeout_s=0.1)
    with pytest.raises(HlocLocalizerError, match='nobody subscribed to /nobody'):
        BagPlayer(node=client.node, bag=query, playback=lonely).play()
