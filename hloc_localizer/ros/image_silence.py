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
        self._at = (False, 0)

    def end(self, stamp_ns: int) -> None:
        """Take the stamp of an image that can be used."""
        self._stamp_ns, self._at = stamp_ns, self._now()

    def forget(self) -> None:
        """Begin anew: time jumped."""
        self._stamp_ns = None

    @property
    def seconds(self) -> float:
        """How long it lasts; 0 before the first image."""
        return self._passed_ns() * 1e-9

    @property
    def stamp_ns(self) -> int | None:
        """The stamp that an image would have now; None before the first one."""
        passed_ns = self._passed_ns()
        return None if self._stamp_ns is None else self._stamp_ns + passed_ns

    def _passed_ns(self) -> int:
        """Return how long it lasts; begin anew when the clock became another one."""
        simulated, now_ns = self._now()
        if self._stamp_ns is not None and simulated != self._at[0]:
            self.forget()
        return 0 if self._stamp_ns is None else now_ns - self._at[1]

    def _now(self) -> tuple[bool, int]:
        """Return whether time is simulated, and that time."""
        clock = self._node_clock
        if isinstance(clock, ROSClock) and clock.ros_time_is_active:
            return True, int(clock.now().nanoseconds)
        return False, time.monotonic_ns()
