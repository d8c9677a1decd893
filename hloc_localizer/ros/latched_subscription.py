"""A subscription that also hears what was sent before it, where a publisher keeps that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

_SENSOR_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.BEST_EFFORT
)
"""As rmw_qos_profile_sensor_data, shorter: only the newest calibration matters."""

_LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=2,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Hears nobody who offers less, so it comes beside the other one."""


class LatchedSubscription:
    """
    For messages of which the newest counts, such as a calibration that is sent once.

    What a latched publisher sends later is heard twice.
    """

    def __init__(
        self, *, node: Node, kind: Any, topic: str, callback: Callable[[Any], None]
    ) -> None:
        """
        Subscribe; call :meth:`adapt` from time to time.

        :param topic: full name.
        """
        self._node = node
        self._kind = kind
        self._topic = topic
        self._callback = callback
        self._latched: Subscription[Any] | None = None
        self._present = self._subscribe(_SENSOR_QOS)
        self.adapt()

    def adapt(self) -> None:
        """Look at the publishers, and ask those that are latched for what they sent before."""
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        latched = DurabilityPolicy.TRANSIENT_LOCAL
        if self._latched is None and any(
            info.qos_profile.durability == latched for info in publishers
        ):
            self._latched = self._subscribe(_LATCHED_QOS)

    def destroy(self) -> None:
        """Stop listening."""
        for subscription in (self._latched, self._present):
            if subscription is not None:
                self._node.destroy_subscription(subscription)

    def _subscribe(self, qos: QoSProfile) -> Subscription[Any]:
        return self._node.create_subscription(self._kind, self._topic, self._callback, qos)
