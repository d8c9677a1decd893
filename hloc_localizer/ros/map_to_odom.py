"""The correction ``map -> odom``: computed at the image stamp, broadcast steadily."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.ros import messages

Array = NDArray[np.float64]


class MapToOdom:
    """
    Holds ``map_from_odom`` and sends it with stamps that only ever grow.

    Between two fixes the odometry carries the robot; the last correction holds until the next, or
    until the pose is lost.
    """

    def __init__(
        self,
        *,
        send: Callable[[TransformStamped], None],
        now_ns: Callable[[], int],
        map_frame: str,
        odom_frame: str,
        tolerance_s: float,
        max_age_s: float = 0.0,
    ) -> None:
        """
        Begin without a correction: nothing is broadcast until the first fix.

        :param now_ns: the node's time.
        :param tolerance_s: how far in the future the stamps are put (REP-105 consumers look up
            "now"); the transform itself is not touched by it.
        :param max_age_s: how long it is broadcast without an update; 0: for ever.
        """
        self._send = send
        self._now_ns = now_ns
        self._map_frame = map_frame
        self._odom_frame = odom_frame
        self._tolerance_ns = round(tolerance_s * 1e9)
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._map_from_odom: Array | None = None
        self._updated: float | None = None
        self._last_ns = -1

    @property
    def age_s(self) -> float | None:
        """Seconds since the correction was computed; None without one."""
        with self._lock:
            return None if self._updated is None else time.monotonic() - self._updated

    def update(self, map_from_base: Array, odom_from_base: Array) -> None:
        """Compute the correction from two poses (4, 4) of the same stamp, and broadcast it."""
        map_from_odom = map_from_base @ transforms.invert(odom_from_base)
        with self._lock:
            self._map_from_odom = map_from_odom
            self._updated = time.monotonic()
        self.broadcast()

    def broadcast(self) -> None:
        """Send the correction, if there is one and the clock has moved since the last time."""
        with self._lock:
            stamp_ns = self._now_ns() + self._tolerance_ns
            if self._map_from_odom is None or stamp_ns <= self._last_ns or self._too_old():
                return
            self._last_ns = stamp_ns
            self._send(
                messages.transform_message(
                    self._map_frame, self._odom_frame, stamp_ns, self._map_from_odom
                )
            )

    def suspend(self) -> None:
        """Send nothing until the next update: the pose is lost."""
        with self._lock:
            self._map_from_odom = None

    def _too_old(self) -> bool:
        assert self._updated is not None
        return 0.0 < self._max_age_s < time.monotonic() - self._updated

    def reset(self) -> None:
        """Forget the correction: time jumped back, and odometry may have begun anew."""
        with self._lock:
            self._map_from_odom = None
            self._updated = None
            self._last_ns = -1
