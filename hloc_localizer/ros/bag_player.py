"""Play a bag onto the wire at its own rate: ``python -m hloc_localizer.ros.bag_player BAG``."""

from __future__ import annotations

import argparse
import array
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.interruptible import interruptible
from hloc_localizer.ros import messages
from hloc_localizer.sources.bag_reader import TF, BagReader

_CLOCK_PERIOD_S = 0.01
_DISCOVERY_POLL_S = 0.02


@dataclass(frozen=True)
class Playback:
    """How a bag is played."""

    rate: float = 1.0
    """Seconds of the bag in one second."""
    clock: bool = False
    """Publish ``/clock`` with the time of the bag, for nodes with ``use_sim_time``."""
    restamp: bool = False
    """Move every stamp so that the bag happens now; excludes ``clock``."""
    topics: tuple[str, ...] = ()
    """Only these topics; empty: all whose type is installed."""
    remap: tuple[tuple[str, str], ...] = ()
    """(topic of the bag, topic to publish)."""
    skip_tf_parents: tuple[str, ...] = ()
    """Transforms with these parent frames are left out, such as a recorded ``map -> odom``."""
    start_s: float = 0.0
    duration_s: float = 0.0
    """0: to the end."""
    loops: int = 1
    wait_for: tuple[str, ...] = ()
    """Published topics that must have a subscriber before the first message."""
    wait_timeout_s: float = 30.0


class BagPlayer:
    """Publishes the messages of a bag through one node."""

    def __init__(
        self,
        *,
        node: Node,
        bag: Path,
        playback: Playback | None = None,
        on_published: Callable[[str, int, Any], None] = lambda topic, time_ns, message: None,
    ) -> None:
        """
        Open the bag and create the publishers.

        :param on_published: called after each message with the published topic, the receive time
            in the bag and the message.
        :raises InputError: when the bag cannot be read or a topic that was asked for is not in it.
        """
        self._node = node
        self._playback = playback or Playback()
        self._on_published = on_published
        self.shift_ns = 0
        """How far the stamps of the present pass were moved."""
        if self._playback.restamp and self._playback.clock:
            raise InputError('bag player: restamp and clock exclude each other; choose one')
        self._reader = BagReader(bag)
        self._types = self._installed_types()
        rename = dict(self._playback.remap)
        self._names = {topic: rename.get(topic, topic) for topic in self._types}
        self._publishers = {
            topic: node.create_publisher(kind, self._names[topic], _qos(topic))
            for topic, kind in self._types.items()
        }
        self._clock = (
            node.create_publisher(Clock, '/clock', _qos('/clock')) if self._playback.clock else None
        )

    def play(self) -> int:
        """
        Publish everything and return the number of messages.

        :raises HlocLocalizerError: when nobody subscribes in time to the topics waited for.
        """
        self._wait_for_subscribers()
        return sum(self._play_once() for _ in range(self._playback.loops))

    def wait_until_received(self, timeout_s: float = 2.0) -> None:
        """Wait until reliable subscribers have acknowledged everything."""
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=timeout_s))

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()

    def _installed_types(self) -> dict[str, Any]:
        unknown = set(self._playback.topics) - set(self._reader.topics)
        if unknown:
            raise InputError(
                f"{self._reader.path}: no topic '{sorted(unknown)[0]}'; topics: "
                f'{", ".join(self._reader.topics)}'
            )
        types: dict[str, Any] = {}
        for topic in self._playback.topics or self._reader.topics:
            name = self._reader.topics[topic].type
            name = TF[0] if name in TF else name
            kind = message_type(name)
            if kind is None:
                self._node.get_logger().warning(f'{topic} is not played: {name} is not installed')
            else:
                types[topic] = kind
        return types

    def _wait_for_subscribers(self) -> None:
        deadline = time.monotonic() + self._playback.wait_timeout_s
        for topic in self._playback.wait_for:
            while not self._node.count_subscribers(topic):
                if time.monotonic() > deadline or not self._node.context.ok():
                    raise HlocLocalizerError(
                        f'nobody subscribed to {topic} within {self._playback.wait_timeout_s:g} s'
                    )
                time.sleep(_DISCOVERY_POLL_S)

    def _play_once(self) -> int:
        begin_ns = self._reader.start_ns + round(self._playback.start_s * 1e9)
        begin = time.monotonic()
        self.shift_ns = time.time_ns() - begin_ns if self._playback.restamp else 0
        count = 0
        for topic, time_ns, record in self._span(begin_ns):
            # Latched messages from before the span belong to it, as rosbag2 plays them.
            due = begin + max(0, time_ns - begin_ns) * 1e-9 / self._playback.rate
            self._sleep_until(due, begin, begin_ns)
            if not self._node.context.ok():
                break
            message = message_from_record(self._types[topic], record)
            if topic in ('/tf', '/tf_static'):
                message.transforms = [
                    transform
                    for transform in message.transforms
                    if transform.header.frame_id.lstrip('/') not in self._playback.skip_tf_parents
                ]
            if self.shift_ns:
                _shift_stamps(message, self.shift_ns)
            self._publishers[topic].publish(message)
            self._on_published(self._names[topic], time_ns, message)
            count += 1
        return count

    def _span(self, begin_ns: int) -> Iterator[tuple[str, int, Any]]:
        duration_s = self._playback.duration_s
        stop_ns = begin_ns + round(duration_s * 1e9) if duration_s else None
        if self._playback.start_s:
            latched = [topic for topic in self._types if _is_latched(topic)]
            yield from self._reader.messages(latched, None, begin_ns) if latched else ()
        yield from self._reader.messages(list(self._types), begin_ns, stop_ns)

    def _sleep_until(self, due: float, begin: float, begin_ns: int) -> None:
        while self._node.context.ok():
            now = time.monotonic()
            if self._clock is not None:
                at_ns = begin_ns + round((min(now, due) - begin) * self._playback.rate * 1e9)
                self._clock.publish(Clock(clock=messages.stamp_from_ns(at_ns)))
            if now >= due:
                return
            time.sleep(min(_CLOCK_PERIOD_S, due - now))


def message_type(name: str) -> Any:
    """Return the class of ``package/msg/Name``, None when its package is not installed."""
    package, _, kind = name.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), kind, None)
    except ImportError:
        return None


def message_from_record(kind: Any, record: Any) -> Any:
    """
    Return a message of a class, filled from the same message as ``rosbags`` decodes it.

    Fields are found by name without regard to case (ROS 1 wrote K where ROS 2 writes k); what
    one side does not have is left out (``header.seq``).
    """
    fields = {name.lower(): name for name in record.__dataclass_fields__}
    message = kind()
    for name in message.get_fields_and_field_types():
        if name.lower() in fields:
            present = getattr(message, name)
            setattr(
                message, name, _value(kind, name, present, getattr(record, fields[name.lower()]))
            )
    return message


def _value(kind: Any, name: str, present: Any, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if isinstance(present, array.array):
            return array.array(present.typecode, value.astype(present.typecode).tobytes())
        return value
    if isinstance(value, (list, tuple)):
        if not value or not hasattr(value[0], '__msgtype__'):
            return list(value)
        element = message_type(value[0].__msgtype__)
        return [message_from_record(element, each) for each in value]
    if hasattr(present, 'get_fields_and_field_types'):
        return message_from_record(type(present), value)
    return value


def _shift_stamps(message: Any, shift_ns: int) -> None:
    for stamped in [message, *getattr(message, 'transforms', [])]:
        if hasattr(stamped, 'header'):
            stamp_ns = messages.stamp_to_ns(stamped.header.stamp)
            stamped.header.stamp = messages.stamp_from_ns(stamp_ns + shift_ns)


def _is_latched(topic: str) -> bool:
    return topic.endswith('/tf_static') or topic == '/robot_description'


def _qos(topic: str) -> QoSProfile:
    durability = (
        DurabilityPolicy.TRANSIENT_LOCAL if _is_latched(topic) else DurabilityPolicy.VOLATILE
    )
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=100,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=durability,
    )


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m hloc_localizer.ros.bag_player',
        description='Play a ROS 1 or ROS 2 bag onto the wire.',
    )
    parser.add_argument('bag', type=Path)
    parser.add_argument('--rate', type=float, default=1.0, help='speed (default 1)')
    parser.add_argument('--clock', action='store_true', help='publish /clock')
    parser.add_argument('--restamp', action='store_true', help='move all stamps to now')
    parser.add_argument('--topics', nargs='+', default=[], help='only these topics')
    parser.add_argument('--remap', nargs='+', default=[], metavar='OLD:=NEW')
    parser.add_argument('--skip-tf-parents', nargs='+', default=[], metavar='FRAME')
    parser.add_argument('--start', type=float, default=0.0, metavar='SECONDS')
    parser.add_argument('--duration', type=float, default=0.0, metavar='SECONDS')
    parser.add_argument('--loops', type=int, default=1)
    parser.add_argument('--wait-for', nargs='+', default=[], metavar='TOPIC')
    arguments = parser.parse_args(argv)
    if not arguments.rate > 0.0:
        parser.error(f'argument --rate: {arguments.rate} is not above 0')
    if any(':=' not in rule for rule in arguments.remap):
        parser.error('argument --remap: expected OLD:=NEW')
    return arguments


def _playback(arguments: argparse.Namespace) -> Playback:
    rules = [rule.partition(':=') for rule in arguments.remap]
    return Playback(
        rate=arguments.rate,
        clock=arguments.clock,
        restamp=arguments.restamp,
        topics=tuple(arguments.topics),
        remap=tuple((old, new) for old, _, new in rules),
        skip_tf_parents=tuple(arguments.skip_tf_parents),
        start_s=arguments.start,
        duration_s=arguments.duration,
        loops=arguments.loops,
        wait_for=tuple(arguments.wait_for),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Play a bag; return the exit status."""
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    with interruptible():
        return _play(arguments)


def _play(arguments: argparse.Namespace) -> int:
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Node('bag_player')
    try:
        player = BagPlayer(node=node, bag=arguments.bag, playback=_playback(arguments))
        count = player.play()
        player.wait_until_received()
        player.close()
        print(f'{arguments.bag}: {count} messages played')
        return 0
    except HlocLocalizerError as error:
        print(f'error: {error}', file=sys.stderr)
        return error.exit_status
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    sys.exit(main())
