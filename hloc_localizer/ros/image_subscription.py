"""A subscription to images that asks for the reliability which their publishers offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

_DEPTH = 2
"""Only the newest image matters; the callback is quick."""


class ImageSubscription:
    """
    Sensor-data QoS where a publisher offers no more, reliable where all of them do.

    A best-effort subscription hears every publisher, but of a message much larger than half a
    megabyte (a raw image) Fast DDS then loses pieces even on one machine: of ten images of
    1280x720 three arrived, or none. With history "keep last" a reliable one does not slow
    the publisher down.
    """

    def __init__(
        self,
        *,
        node: Node,
        kind: Any,
        topic: str,
        callback: Callable[[Any], None],
        depth: int = _DEPTH,
    ) -> None:
        """
        Subscribe; call :meth:`adapt` from time to time.

        :param topic: full name.
        :param depth: how many images may wait for the callback.
        """
        self._node = node
        self._kind = kind
        self._topic = topic
        self._callback = callback
        self._depth = depth
        self._last: Any = None
        self._old: Subscription[Any] | None = None
        self.reliability = self._offered() or ReliabilityPolicy.BEST_EFFORT
        self._present = self._subscribe()

    def adapt(self) -> None:
        """Look at the publishers, and subscribe anew when they offer something else."""
        if self._old is not None:
            self._node.destroy_subscription(self._old)
            self._old = None
        offered = self._offered()
        if offered is not None and offered != self.reliability:
            self.reliability = offered
            # Both for a while: the new one needs time to be discovered, and no image may be lost.
            self._old, self._present = self._present, self._subscribe()

    def destroy(self) -> None:
        """Stop listening."""
        for subscription in (self._old, self._present):
            if subscription is not None:
                self._node.destroy_subscription(subscription)

    def _offered(self) -> ReliabilityPolicy | None:
        """Return what all known publishers offer; None while none is known."""
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        if not publishers:
            return None
        reliable = all(
            info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in publishers
        )
        return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT

    def _subscribe(self) -> Subscription[Any]:
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=self._depth, reliability=self.reliability
        )
        return self._node.create_subscription(self._kind, self._topic, self._take, qos)

    def _take(self, message: Any) -> None:
        if self._old is not None and message.header == self._last:
            return  # heard by both
        self._last = message.header
        self._callback(message)
