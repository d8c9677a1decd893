"""The TF interface that the nodes use, held against every implementation on this machine."""

from __future__ import annotations

import importlib.util
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs ROS 2')
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock

from hloc_localizer.geometry import transforms
from hloc_localizer.ros import tf as chosen
from hloc_localizer.ros.messages import transform_from_message, transform_message

START_NS = 1_700_000_000_000_000_000
STAND_IN = 'hloc_localizer.ros._tf_stand_in'


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


IMPLEMENTATIONS = [STAND_IN, *(['tf2_ros'] if _installed('tf2_ros') else [])]


@pytest.fixture(params=IMPLEMENTATIONS)
def tf(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


@pytest.fixture
def new_node(
    ros_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Node]]:
    """Make nodes that one thread spins, in a domain of their own."""
    for name, value in ros_environment.items():
        monkeypatch.setenv(name, value)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(ros_environment['ROS_DOMAIN_ID']))
    executor = SingleThreadedExecutor(context=context)
    thread = threading.Thread(target=executor.spin)
    nodes: list[Node] = []

    def make(name: str, **arguments: Any) -> Node:
        nodes.append(rclpy.create_node(name, context=context, **arguments))
        executor.add_node(nodes[-1])
        return nodes[-1]

    thread.start()
    yield make
    executor.shutdown()
    thread.join()
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def _transform(
    parent: str, child: str, seconds: float, xyz: tuple[float, float, float], yaw: float = 0.0
) -> TransformStamped:
    matrix = transforms.transform_from(transforms.rotation_from_rotvec([0.0, 0.0, yaw]), xyz)
    return transform_message(parent, child, START_NS + round(seconds * 1e9), matrix)


def _time(seconds: float) -> Time:
    return Time(nanoseconds=START_NS + round(seconds * 1e9))


def _matrix(message: TransformStamped) -> np.ndarray:
    return transform_from_message(message.transform)


def _until(condition: Callable[[], Any], timeout_s: float = 10.0) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_the_real_tf_is_preferred() -> None:
    expected = 'tf2_ros' if _installed('tf2_ros') else STAND_IN
    assert expected == chosen.IMPLEMENTATION


def test_interpolates_between_two_stamps(tf: Any) -> None:
    buffer = tf.Buffer()
    buffer.set_transform(_transform('odom', 'base', 0.0, (1.0, 0.0, 0.0), yaw=0.0), 'test')
    buffer.set_transform(_transform('odom', 'base', 1.0, (3.0, 4.0, 0.0), yaw=1.0), 'test')
    result = buffer.lookup_transform('odom', 'base', _time(0.25))
    assert (result.header.frame_id, result.child_frame_id) == ('odom', 'base')
    assert Time.from_msg(result.header.stamp).nanoseconds == START_NS + 250_000_000
    expected = transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, 0.0, 0.25]), [1.5, 1.0, 0.0]
    )
    np.testing.assert_allclose(_matrix(result), expected, atol=1e-9)


def test_joins_links_up_and_down_the_tree(tf: Any) -> None:
    buffer = tf.Buffer()
    links = [
        ('map', 'odom', (1.0, 2.0, 3.0), 0.5),
        ('odom', 'base', (0.5, 0.0, 0.1), -1.0),
        ('base', 'left', (0.0, 0.1, 0.2), 2.0),
        ('base', 'right', (0.0, -0.1, 0.2), -2.0),
    ]
    pose = {}
    for parent, child, xyz, yaw in links:
        message = _transform(parent, child, 0.0, xyz, yaw)
        pose[child] = _matrix(message)
        buffer.set_transform(message, 'test')
    map_from_left = pose['odom'] @ pose['base'] @ pose['left']
    right_from_left = transforms.invert(pose['right']) @ pose['left']
    for target, source, expected in [
        ('map', 'left', map_from_left),
        ('left', 'map', transforms.invert(map_from_left)),
        ('right', 'left', right_from_left),
    ]:
        result = buffer.lookup_transform(target, source, _time(0.0))
        np.testing.assert_allclose(_matrix(result), expected, atol=1e-12)


def test_time_zero_is_the_newest_common_time(tf: Any) -> None:
    buffer = tf.Buffer()
    for seconds in (0.0, 1.0):
        buffer.set_transform(_transform('map', 'odom', seconds, (seconds, 0.0, 0.0)), 'test')
    for seconds in (0.0, 2.0):
        buffer.set_transform(_transform('odom', 'base', seconds, (0.0, seconds, 0.0)), 'test')
    result = buffer.lookup_transform('map', 'base', Time())
    assert Time.from_msg(result.header.stamp).nanoseconds == START_NS + 1_000_000_000
    np.testing.assert_allclose(_matrix(result)[:3, 3], [1.0, 1.0, 0.0], atol=1e-12)


def test_static_transforms_hold_at_any_time(tf: Any) -> None:
    buffer = tf.Buffer()
    buffer.set_transform_static(_transform('base', 'camera', 0.0, (0.1, 0.2, 0.3)), 'test')
    for seconds in (-100.0, 0.0, 100.0):
        result = buffer.lookup_transform('base', 'camera', _time(seconds))
        np.testing.assert_allclose(_matrix(result)[:3, 3], [0.1, 0.2, 0.3])
    assert buffer.can_transform('camera', 'base', Time())


def test_unknown_frames_are_lookup_errors(tf: Any) -> None:
    buffer = tf.Buffer()
    buffer.set_transform_static(_transform('base', 'camera', 0.0, (0.1, 0.2, 0.3)), 'test')
    with pytest.raises(tf.LookupException, match='nowhere'):
        buffer.lookup_transform('base', 'nowhere', _time(0.0))
    assert not buffer.can_transform('base', 'nowhere', _time(0.0))


def test_separate_trees_are_connectivity_errors(tf: Any) -> None:
    buffer = tf.Buffer()
    buffer.set_transform_static(_transform('base', 'camera', 0.0, (0.1, 0.2, 0.3)), 'test')
    buffer.set_transform_static(_transform('map', 'odom', 0.0, (0.1, 0.2, 0.3)), 'test')
    with pytest.raises(tf.ConnectivityException, match='odom'):
        buffer.lookup_transform('camera', 'odom', _time(0.0))


@pytest.mark.parametrize('seconds', [-0.5, 1.5])
def test_times_outside_the_history_are_extrapolation_errors(tf: Any, seconds: float) -> None:
    buffer = tf.Buffer()
    for stamp in (0.0, 1.0):
        buffer.set_transform(_transform('odom', 'base', stamp, (0.0, 0.0, 0.0)), 'test')
    with pytest.raises(tf.ExtrapolationException):
        buffer.lookup_transform('odom', 'base', _time(seconds))


def test_every_lookup_error_is_a_transform_exception(tf: Any) -> None:
    for error in (tf.LookupException, tf.ConnectivityException, tf.ExtrapolationException):
        assert issubclass(error, tf.TransformException)


def test_history_is_bounded(tf: Any) -> None:
    buffer = tf.Buffer(cache_time=Duration(seconds=2.0))
    for tenth in range(300):
        buffer.set_transform(_transform('odom', 'base', tenth / 10, (tenth, 0.0, 0.0)), 'test')
    assert buffer.can_transform('odom', 'base', _time(28.0))
    with pytest.raises(tf.ExtrapolationException):
        buffer.lookup_transform('odom', 'base', _time(20.0))


def test_waits_for_a_transform_that_comes_in_time(tf: Any) -> None:
    buffer = tf.Buffer()
    late = _transform('odom', 'base', 0.0, (1.0, 0.0, 0.0))
    timer = threading.Timer(0.2, buffer.set_transform, (late, 'test'))
    begin = time.monotonic()
    timer.start()
    result = buffer.lookup_transform('odom', 'base', _time(0.0), Duration(seconds=20.0))
    assert 0.15 < time.monotonic() - begin < 10.0
    assert result.transform.translation.x == 1.0


def test_gives_up_waiting_after_the_timeout(tf: Any) -> None:
    begin = time.monotonic()
    with pytest.raises(tf.LookupException):
        tf.Buffer().lookup_transform('odom', 'base', _time(0.0), Duration(seconds=0.2))
    assert 0.19 < time.monotonic() - begin < 5.0


def test_clear_keeps_the_static_transforms(tf: Any) -> None:
    buffer = tf.Buffer()
    buffer.set_transform(_transform('odom', 'base', 0.0, (1.0, 0.0, 0.0)), 'test')
    buffer.set_transform_static(_transform('base', 'camera', 0.0, (0.1, 0.2, 0.3)), 'test')
    buffer.clear()
    assert not buffer.can_transform('odom', 'base', _time(0.0))
    assert buffer.can_transform('base', 'camera', _time(0.0))


def test_a_transform_that_is_not_finite_is_ignored(tf: Any) -> None:
    buffer = tf.Buffer()
    buffer.set_transform(_transform('odom', 'base', 0.0, (1.0, 0.0, 0.0)), 'test')
    broken = _transform('odom', 'base', 1.0, (0.0, 0.0, 0.0))
    broken.transform.translation.x = math.nan
    buffer.set_transform(broken, 'test')
    assert not buffer.can_transform('odom', 'base', _time(1.0))
    assert buffer.can_transform('odom', 'base', _time(0.0))


def test_a_leading_slash_is_the_same_frame(tf: Any) -> None:
    buffer = tf.Buffer()
    buffer.set_transform(_transform('/odom', '/base', 0.0, (1.0, 0.0, 0.0)), 'test')
    assert buffer.can_transform('odom', 'base', _time(0.0))
    with pytest.raises(tf.TransformException):
        buffer.lookup_transform('/odom', '/base', _time(0.0))


def test_threads_may_write_and_read_at_once(tf: Any) -> None:
    buffer = tf.Buffer()
    buffer.set_transform(_transform('odom', 'base', 0.0, (0.0, 0.0, 0.0)), 'test')

    def write() -> None:
        for step in range(1, 1000):
            buffer.set_transform(_transform('odom', 'base', step / 100, (step, 0, 0)), 'test')

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0.0
    while writer.is_alive():
        newest = buffer.lookup_transform('odom', 'base', Time()).transform.translation.x
        assert newest >= seen
        seen = newest
    writer.join()
    newest = buffer.lookup_transform('odom', 'base', Time()).transform.translation.x
    assert newest == pytest.approx(999.0)


def test_broadcasts_reach_a_listener(tf: Any, new_node: Callable[..., Node]) -> None:
    buffer = tf.Buffer()
    listener = tf.TransformListener(buffer, new_node('listener'))
    sender = new_node('sender')
    broadcaster = tf.TransformBroadcaster(sender)
    assert _until(lambda: sender.count_subscribers('/tf') == 1)
    pair = [_transform('map', 'odom', 0.0, (1.0, 0.0, 0.0))]
    pair.append(_transform('odom', 'base', 0.0, (0.0, 2.0, 0.0)))

    def arrived() -> bool:
        broadcaster.sendTransform(pair)
        return bool(buffer.can_transform('map', 'base', _time(0.0)))

    assert _until(arrived)
    result = buffer.lookup_transform('map', 'base', _time(0.0))
    np.testing.assert_allclose(_matrix(result)[:3, 3], [1.0, 2.0, 0.0])
    listener.unregister()
    assert _until(lambda: sender.count_subscribers('/tf') == 0)


def test_static_broadcasts_reach_who_comes_later(tf: Any, new_node: Callable[..., Node]) -> None:
    broadcaster = tf.StaticTransformBroadcaster(new_node('sender'))
    broadcaster.sendTransform(_transform('base', 'camera', 0.0, (1.0, 0.0, 0.0)))
    broadcaster.sendTransform([_transform('base', 'lidar', 0.0, (0.0, 2.0, 0.0))])
    buffer = tf.Buffer()
    listener = tf.TransformListener(buffer, new_node('listener'))
    assert _until(lambda: buffer.can_transform('camera', 'lidar', _time(5.0)))
    result = buffer.lookup_transform('camera', 'lidar', _time(5.0))
    np.testing.assert_allclose(_matrix(result)[:3, 3], [-1.0, 2.0, 0.0])
    listener.unregister()


def test_topics_have_the_qos_of_tf(tf: Any, new_node: Callable[..., Node]) -> None:
    node = new_node('everything')
    ends = [tf.TransformBroadcaster(node), tf.StaticTransformBroadcaster(node)]
    ends.append(tf.TransformListener(tf.Buffer(), node))
    for topic, durability in (
        ('/tf', DurabilityPolicy.VOLATILE),
        ('/tf_static', DurabilityPolicy.TRANSIENT_LOCAL),
    ):
        infos = node.get_publishers_info_by_topic(topic)
        infos += node.get_subscriptions_info_by_topic(topic)
        assert len(infos) == 2
        assert {info.topic_type for info in infos} == {'tf2_msgs/msg/TFMessage'}
        assert {info.qos_profile.durability for info in infos} == {durability}
        assert {info.qos_profile.reliability for info in infos} == {ReliabilityPolicy.RELIABLE}
    ends[-1].unregister()


def test_a_jump_back_in_time_clears_the_buffer(tf: Any, new_node: Callable[..., Node]) -> None:
    sim_time = Parameter('use_sim_time', Parameter.Type.BOOL, True)
    node = new_node('simulated', parameter_overrides=[sim_time])
    clock = new_node('clock').create_publisher(Clock, '/clock', 10)
    buffer = tf.Buffer(node=node)

    def clock_shows(seconds: float) -> bool:
        clock.publish(Clock(clock=_time(seconds).to_msg()))
        return node.get_clock().now().nanoseconds == _time(seconds).nanoseconds

    assert _until(lambda: clock_shows(100.0))
    buffer.set_transform(_transform('odom', 'base', 100.0, (1.0, 0.0, 0.0)), 'test')
    assert _until(lambda: clock_shows(100.5))
    assert buffer.can_transform('odom', 'base', _time(100.0))
    assert _until(lambda: clock_shows(10.0))
    assert _until(lambda: not buffer.can_transform('odom', 'base', _time(100.0)))
