"""
What the nodes use of tf2_ros, for a ROS 2 without it (there are no wheels of tf2).

Names, arguments, exceptions, topics and QoS are those of tf2_ros; the tree itself is
:class:`hloc_localizer.sources.tf_tree.TfTree`. ``test/ros/test_tf_contract.py`` holds both to the
same behaviour.
"""

from __future__ import annotations

import threading
import time as steady_time
from collections.abc import Callable, Iterable
from typing import Any

import rclpy.logging
from geometry_msgs.msg import TransformStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from hloc_localizer.errors import InputError
from hloc_localizer.ros.messages import stamp_to_ns, transform_from_message, transform_message
from hloc_localizer.sources import tf_tree

_DEFAULT_CACHE_S = 10.0


class TransformException(Exception):  # noqa: N818 (the name in tf2_ros)
    """Base of what a lookup raises."""


class LookupException(TransformException):
    """A frame that nobody has published yet."""


class ConnectivityException(TransformException):
    """Two frames without a chain of links between them."""


class ExtrapolationException(TransformException):
    """A time outside the history of a link."""


class InvalidArgumentException(TransformException):
    """A frame name that cannot be."""


class Buffer:
    """
    The transforms of the last seconds; may be used from several threads.

    :param cache_time: how long each link's history is kept at least; None: 10 s.
    :param node: whose clock to watch: when it jumps back, what came before is forgotten.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        self._cache_s = _DEFAULT_CACHE_S if cache_time is None else cache_time.nanoseconds / 1e9
        self._changed = threading.Condition()
        self._static: dict[str, TransformStamped] = {}
        self._tree = self._new_tree()
        self._jump_handle = None if node is None else _on_jump_back(node, self._forget_past)

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """
        Remember a transform that holds at its stamp.

        :param authority: who says so, for the warning about one that is not finite.
        """
        self._add(transform, authority, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Remember a transform that holds always."""
        self._add(transform, authority, static=True)

    def clear(self) -> None:
        """Forget all but the static transforms."""
        with self._changed:
            self._tree = self._new_tree()

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """
        Say whether a lookup would succeed, waiting for it if it has to.

        :param return_debug_tuple: return also why not.
        """
        reason = ''
        try:
            self.lookup_transform(target_frame, source_frame, time, timeout)
        except TransformException as error:
            reason = str(error)
        return (not reason, reason) if return_debug_tuple else not reason

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = Duration()
    ) -> TransformStamped:
        """
        Return the transform that takes coordinates in the source frame to the target frame.

        :param time: at which; zero: the newest at which all links are known.
        :param timeout: how long to wait for it, in steady time.
        :returns: with ``frame_id`` the target, ``child_frame_id`` the source.
        :raises LookupException: when a frame is not known.
        :raises ConnectivityException: when the frames are not connected.
        :raises ExtrapolationException: when a link is not known at that time.
        """
        _check_name(target_frame)
        _check_name(source_frame)
        deadline = steady_time.monotonic() + timeout.nanoseconds / 1e9
        with self._changed:
            while True:
                try:
                    return self._lookup(target_frame, source_frame, time.nanoseconds)
                except TransformException:
                    remaining = deadline - steady_time.monotonic()
                    if remaining <= 0.0:
                        raise
                self._changed.wait(remaining)

    def _lookup(self, target: str, source: str, stamp_ns: int) -> TransformStamped:
        try:
            if stamp_ns == 0:
                stamp_ns = self._tree.latest_stamp(target, source) or 0
            target_from_source = self._tree.lookup(target, source, stamp_ns)
        except tf_tree.UnknownFrameError as error:
            raise LookupException(str(error)) from error
        except tf_tree.DisconnectedError as error:
            raise ConnectivityException(str(error)) from error
        except tf_tree.ExtrapolationError as error:
            raise ExtrapolationException(str(error)) from error
        return transform_message(target, source, stamp_ns, target_from_source)

    def _add(self, transform: TransformStamped, authority: str, *, static: bool) -> None:
        try:
            with self._changed:
                _add_to(self._tree, transform, static=static)
                if static:
                    self._static[transform.child_frame_id] = transform
                else:
                    self._static.pop(transform.child_frame_id, None)
                self._changed.notify_all()
        except InputError as error:
            logger = rclpy.logging.get_logger('tf_buffer')
            logger.error(f'ignoring a transform of {authority}: {error}', throttle_duration_sec=1.0)

    def _new_tree(self) -> tf_tree.TfTree:
        tree = tf_tree.TfTree(history_s=self._cache_s)
        for transform in self._static.values():
            _add_to(tree, transform, static=True)
        return tree

    def _forget_past(self) -> None:
        rclpy.logging.get_logger('tf_buffer').warning('time jumped back: forgetting transforms')
        self.clear()


class TransformListener:
    """
    Puts what is published on ``/tf`` and ``/tf_static`` into a buffer.

    :param qos: of ``/tf``; None: reliable, the last 100.
    :param static_qos: of ``/tf_static``; None: as ``/tf``, and transient local.
    """

    def __init__(
        self,
        buffer: Buffer,
        node: Node,
        *,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
    ) -> None:
        self.buffer = buffer
        self.node = node
        # Reentrant, or a callback of this group that waits for a transform would wait for itself.
        self.group = ReentrantCallbackGroup()
        self.tf_sub = node.create_subscription(
            TFMessage,
            '/tf',
            self.callback,
            QoSProfile(depth=100) if qos is None else qos,
            callback_group=self.group,
        )
        self.tf_static_sub = node.create_subscription(
            TFMessage,
            '/tf_static',
            self.static_callback,
            _static_qos(100) if static_qos is None else static_qos,
            callback_group=self.group,
        )

    def callback(self, data: TFMessage) -> None:
        """Take moving transforms."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, 'default_authority')

    def static_callback(self, data: TFMessage) -> None:
        """Take static transforms."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, 'default_authority')

    def unregister(self) -> None:
        """Stop listening."""
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)


class TransformBroadcaster:
    """
    Publishes transforms on ``/tf``.

    :param qos: None: reliable, the last 100.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        qos = QoSProfile(depth=100) if qos is None else qos
        self.pub_tf = node.create_publisher(TFMessage, '/tf', qos)

    def sendTransform(  # noqa: N802 (the name in tf2_ros)
        self, transform: TransformStamped | Iterable[TransformStamped]
    ) -> None:
        """Publish one or several transforms."""
        self.pub_tf.publish(TFMessage(transforms=_as_list(transform)))


class StaticTransformBroadcaster:
    """
    Publishes transforms that hold always on ``/tf_static``, for all who listen now or later.

    :param qos: None: reliable, transient local, the last one (which holds all).
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        qos = _static_qos(1) if qos is None else qos
        self.pub_tf = node.create_publisher(TFMessage, '/tf_static', qos)
        self._sent: dict[str, TransformStamped] = {}

    def sendTransform(  # noqa: N802 (the name in tf2_ros)
        self, transform: TransformStamped | Iterable[TransformStamped]
    ) -> None:
        """Publish these and all that were sent before; a child's newer one replaces its older."""
        self._sent.update({item.child_frame_id: item for item in _as_list(transform)})
        self.pub_tf.publish(TFMessage(transforms=list(self._sent.values())))


def _add_to(tree: tf_tree.TfTree, transform: TransformStamped, *, static: bool) -> None:
    tree.add(
        transform.header.frame_id.removeprefix('/'),
        transform.child_frame_id.removeprefix('/'),
        stamp_to_ns(transform.header.stamp),
        transform_from_message(transform.transform),
        static=static,
    )


def _as_list(transform: TransformStamped | Iterable[TransformStamped]) -> list[TransformStamped]:
    return [transform] if isinstance(transform, TransformStamped) else list(transform)


def _check_name(frame: str) -> None:
    if not frame or frame.startswith('/'):
        raise InvalidArgumentException(f"'{frame}' is no frame: it is empty or begins with '/'")


def _static_qos(depth: int) -> QoSProfile:
    return QoSProfile(
        depth=depth,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
        history=HistoryPolicy.KEEP_LAST,
    )


def _on_jump_back(node: Node, callback: Callable[[], None]) -> Any:
    """Have the callback called when the node's clock jumps back or changes its kind."""
    threshold = JumpThreshold(
        min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True
    )
    return node.get_clock().create_jump_callback(threshold, post_callback=lambda _: callback())
