"""The correction ``map -> odom``: computed at the image stamp, broadcast steadily, moved gently."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.ros import messages

Array = NDArray[np.float64]

_JUMP_M, _JUMP_RAD = 0.5, math.radians(10.0)
"""A correction of the base by more is no drift but another place: nothing lies between."""


@dataclass(frozen=True)
class _Glide:
    """The way of the base from where it was broadcast to where a fix has put it."""

    map_from_base_before: Array
    map_from_base: Array
    base_from_odom: Array
    """Inverse of the odometry at the stamp of the fix."""
    began_ns: int
    lasts_ns: int

    def map_from_odom(self, now_ns: int) -> Array:
        """Return the correction at a time (4, 4); a clock that was put back ends the way."""
        elapsed_ns = now_ns - self.began_ns
        if not 0 <= elapsed_ns < self.lasts_ns:
            return self.map_from_base @ self.base_from_odom
        share = elapsed_ns / self.lasts_ns
        pose = transforms.interpolate(self.map_from_base_before, self.map_from_base, share)
        return pose @ self.base_from_odom


class MapToOdom:
    """
    Holds ``map_from_odom`` and sends it with stamps that only ever grow.

    Between two fixes the odometry carries the robot; the last correction holds until the next, or
    until the pose is lost. A new one is reached gradually, so that who follows TF sees no step.
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
        smoothing_s: float = 0.0,
    ) -> None:
        """
        Begin without a correction: nothing is broadcast until the first fix.

        :param now_ns: the node's time.
        :param tolerance_s: how far in the future the stamps are put (REP-105 consumers look up
            "now"); the transform itself is not touched by it.
        :param max_age_s: how long it is broadcast without an update; 0: for ever.
        :param smoothing_s: how long it takes to reach a new correction, unless the next one comes
            before; 0: none.
        """
        self._send = send
        self._now_ns = now_ns
        self._map_frame = map_frame
        self._odom_frame = odom_frame
        self._tolerance_ns = round(tolerance_s * 1e9)
        self._max_age_s = max_age_s
        self._smoothing_ns = round(smoothing_s * 1e9)
        self._lock = threading.Lock()
        self._glide: _Glide | None = None
        self._updated: float | None = None
        self._last_ns = -1

    @property
    def age_s(self) -> float | None:
        """Seconds since the correction was computed; None without one."""
        with self._lock:
            return None if self._updated is None else time.monotonic() - self._updated

    def update(self, map_from_base: Array, odom_from_base: Array) -> None:
        """
        Compute the correction from two poses (4, 4) of the same stamp, and broadcast.

        It is moved at the base, not at the origin of the odometry: that may be far away, where a
        small rotation is a long way.
        """
        with self._lock:
            now_ns, before, lasts_ns = self._now_ns(), map_from_base, 0
            if self._glide is not None and not self._too_old():
                before = self._glide.map_from_odom(now_ns) @ odom_from_base
                metres, radians = transforms.pose_distance(before, map_from_base)
                if metres <= _JUMP_M and radians <= _JUMP_RAD:
                    lasts_ns = self._smoothing_ns
            self._glide = _Glide(
                before, map_from_base, transforms.invert(odom_from_base), now_ns, lasts_ns
            )
            self._updated = time.monotonic()
        self.broadcast()

    def broadcast(self) -> None:
        """Send the correction, if there is one and the clock has moved since the last time."""
        with self._lock:
            now_ns = self._now_ns()
            stamp_ns = now_ns + self._tolerance_ns
            if self._glide is None or stamp_ns <= self._last_ns or self._too_old():
                return
            self._last_ns = stamp_ns
            self._send(
                messages.transform_message(
                    self._map_frame, self._odom_frame, stamp_ns, self._glide.map_from_odom(now_ns)
                )
            )

    def suspend(self) -> None:
        """Send nothing until the next update: the pose is lost."""
        with self._lock:
            self._glide = None

    def _too_old(self) -> bool:
        assert self._updated is not None
        return 0.0 < self._max_age_s < time.monotonic() - self._updated

    def reset(self) -> None:
        """Forget the correction: time jumped back, and odometry may have begun anew."""
        with self._lock:
            self._glide = None
            self._updated = None
            self._last_ns = -1
