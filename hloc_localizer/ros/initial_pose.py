"""Where a person says the robot is (``initialpose``), carried along by odometry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.ros import messages
from hloc_localizer.ros.frame_processor import TransformLookup

Array = NDArray[np.float64]


class InitialPose:
    """The newest initialpose, until it has led to a fix or has become too old."""

    def __init__(
        self,
        *,
        transforms_lookup: TransformLookup,
        map_frame: str,
        odom_frame: str,
        base_frame: str,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Begin without one.

        :param timeout_s: how long one is believed.
        :param clock: seconds that never jump.
        """
        self._transforms = transforms_lookup
        self._map_frame = map_frame
        self._odom_frame = odom_frame
        self._base_frame = base_frame
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._map_from_base: Array | None = None
        self._odom_from_base: Array | None = None
        self._until = 0.0

    def set(self, message: Any) -> None:
        """
        Take over a ``PoseWithCovarianceStamped`` of the base in the map.

        :raises InputError: for another frame or a pose that is none.
        """
        frame = message.header.frame_id.lstrip('/')
        if frame != self._map_frame:
            raise InputError(
                f"initialpose is in the frame '{frame}'; give it in '{self._map_frame}' (in RViz: "
                'the fixed frame)'
            )
        pose = messages.pose_from_message(message.pose.pose)
        odometry = self._odometry()
        with self._lock:
            self._map_from_base, self._odom_from_base = pose, odometry
            self._until = self._clock() + self._timeout_s

    def map_from_base(self) -> Array | None:
        """Return the pose (4, 4) moved by the odometry since it was given; None without one."""
        with self._lock:
            pose, before = self._map_from_base, self._odom_from_base
            if pose is None or self._clock() > self._until:
                return None
        now = self._odometry()
        if before is None or now is None:
            return pose
        return np.asarray(pose @ transforms.invert(before) @ now)

    def clear(self) -> None:
        """Forget it: a fix was made, or time jumped."""
        with self._lock:
            self._map_from_base = None

    def _odometry(self) -> Array | None:
        try:
            return self._transforms.lookup(self._odom_frame, self._base_frame, 0, 0.0)
        except InputError:
            return None  # a robot without odometry: the pose is taken as it was given
