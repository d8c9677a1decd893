"""Odometry from a topic in place of TF's; all other transforms are those of TF."""

from __future__ import annotations

import bisect
import threading
import time

import numpy as np
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.ros import messages
from hloc_localizer.ros.stamp_times import StampTimes, Timing
from hloc_localizer.ros.transform_lookup import LARGEST_M, TransformTree

Array = NDArray[np.float64]

_KEPT_NS = 10_000_000_000
"""As TF keeps transforms."""

_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
"""As of ``/tf``: what is lost is interpolated across."""


class TreeWithOdometry(TransformTree):
    """The TF tree of a node, in which a topic tells how the base moves."""

    def __init__(self, node: Node, *, topic: str, odom_frame: str, base_frame: str) -> None:
        """
        Listen to TF and to a topic of ``nav_msgs/Odometry``.

        :raises InputError: for a name that no topic can have.
        """
        self._frames = (odom_frame, base_frame)
        self._topic = topic
        self._node = node
        self._times = StampTimes()
        self._changed = threading.Condition()
        self._stamps_ns: list[int] = []
        self._poses: list[Array] = []
        self._problem = f'no odometry has arrived on {topic}'
        try:
            self._odometry = node.create_subscription(Odometry, topic, self._take, _QOS)
        except (InvalidTopicNameException, ValueError) as error:
            raise InputError(f"parameter 'odom_topic': '{topic}' is no name of a topic") from error
        super().__init__(node)

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float = 0.0) -> Array:
        """Return ``target_from_source`` (4, 4); odometry is interpolated between two messages."""
        if (target, source) != self._frames:
            return super().lookup(target, source, stamp_ns, timeout_s)
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = self._at(stamp_ns)
                if found is not None:
                    return found
                left_s = deadline - time.monotonic()
                if left_s <= 0.0:
                    raise InputError(self._why_not(stamp_ns))
                self._changed.wait(left_s)

    def clear(self) -> None:
        """Forget what moves; time jumped back."""
        super().clear()
        with self._changed:
            self._times.reset()
            self._problem = ''
            self._forget()

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._odometry)
        super().close()

    def _take(self, message: Odometry) -> None:
        stamp_ns = messages.stamp_to_ns(message.header.stamp)
        try:
            pose = self._checked(message)
        except InputError as error:
            with self._changed:
                self._problem = f'odometry on {self._topic}: {error}'
            return
        with self._changed:
            timing = self._times.judge(stamp_ns)
            if timing is Timing.JUMPED_BACK:
                self._forget()
            elif timing is not Timing.PRESENT:
                unstamped = timing is Timing.UNSTAMPED
                wrong = 'no stamp' if unstamped else 'stamps of different times'
                self._problem = f'odometry on {self._topic} has {wrong}'
                return
            self._problem = ''
            self._insert(stamp_ns, pose)
            self._changed.notify_all()

    def _checked(self, message: Odometry) -> Array:
        given = (message.header.frame_id.lstrip('/'), message.child_frame_id.lstrip('/'))
        if given != self._frames:
            raise InputError(
                f"it is of '{given[1]}' in '{given[0]}', not of '{self._frames[1]}' in "
                f"'{self._frames[0]}': set base_frame and odom_frame"
            )
        pose = messages.pose_from_message(message.pose.pose)
        if not np.all(np.abs(pose[:3, 3]) <= LARGEST_M):
            raise InputError(f'its pose is further away than {LARGEST_M:.0e} m')
        return pose

    def _insert(self, stamp_ns: int, pose: Array) -> None:
        place = bisect.bisect_left(self._stamps_ns, stamp_ns)
        if self._stamps_ns[place : place + 1] == [stamp_ns]:
            return
        self._stamps_ns.insert(place, stamp_ns)
        self._poses.insert(place, pose)
        old = bisect.bisect_left(self._stamps_ns, self._stamps_ns[-1] - _KEPT_NS)
        del self._stamps_ns[:old], self._poses[:old]

    def _forget(self) -> None:
        self._stamps_ns.clear()
        self._poses.clear()

    def _at(self, stamp_ns: int) -> Array | None:
        """Return the pose at a stamp, 0: the newest; None outside of what is known."""
        stamps = self._stamps_ns
        if not stamps or (stamp_ns and not stamps[0] <= stamp_ns <= stamps[-1]):
            return None
        place = bisect.bisect_left(stamps, stamp_ns or stamps[-1])
        if stamps[place] == (stamp_ns or stamps[-1]):
            return self._poses[place]
        before, after = stamps[place - 1], stamps[place]
        share = (stamp_ns - before) / (after - before)
        return transforms.interpolate(self._poses[place - 1], self._poses[place], share)

    def _why_not(self, stamp_ns: int) -> str:
        if self._problem or not self._stamps_ns:
            return self._problem or f'no odometry has arrived on {self._topic} since time jumped'
        ahead_s = (stamp_ns - self._stamps_ns[-1]) * 1e-9
        relation = 'newer than the newest' if ahead_s > 0.0 else 'older than the oldest'
        return f'no odometry on {self._topic} at that time: it is {relation} that is known'


def transform_tree(
    node: Node, *, odom_topic: str, odom_frame: str, base_frame: str
) -> TransformTree:
    """
    Return where a node looks for transforms.

    :param odom_topic: where odometry comes from; empty: TF.
    :raises InputError: for a name that no topic can have.
    """
    if not odom_topic:
        return TransformTree(node)
    return TreeWithOdometry(node, topic=odom_topic, odom_frame=odom_frame, base_frame=base_frame)
