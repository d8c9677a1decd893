"""How long no image could be used, in the time that the stamps of images follow."""

from __future__ import annotations

import time

from rclpy.clock import ROSClock
from rclpy.node import Node


class ImageSilence:
    """
    Continues the stamps of images while none comes.

    With simulated time by its clock, so that a pause is no silence; else by one that never jumps.
    The stamps may be of another clock.
    """

    def __init__(self, node: Node) -> None:
        """Begin without an image."""
        self._node_clock = node.get_clock()
        self._stamp_ns: int | None = None
        self._at_ns = 0

    def end(self, stamp_ns: int) -> None:
        """Take the stamp of an image that can be used."""
        self._stamp_ns, self._at_ns = stamp_ns, self._now_ns()

    def forget(self) -> None:
        """Begin anew: time jumped back."""
        self._stamp_ns = None

    @property
    def seconds(self) -> float:
        """How long it lasts; 0 before the first image."""
        return 0.0 if self._stamp_ns is None else (self._now_ns() - self._at_ns) * 1e-9

    @property
    def stamp_ns(self) -> int | None:
        """The stamp that an image would have now; None before the first one."""
        return None if self._stamp_ns is None else self._stamp_ns + self._now_ns() - self._at_ns

    def _now_ns(self) -> int:
        clock = self._node_clock
        if isinstance(clock, ROSClock) and clock.ros_time_is_active:
            return int(clock.now().nanoseconds)
        return time.monotonic_ns()
