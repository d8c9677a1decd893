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
from hloc_localizer.localization.tracking import PoseEstimate
from hloc_localizer.ros import messages
from hloc_localizer.ros.transform_lookup import LARGEST_M, TransformLookup

Array = NDArray[np.float64]


_LEAST_SIGMA = np.repeat([0.25, np.radians(5.0)], 3)
"""No person points more exactly, in metres and radians. RViz says zero for what it does not ask:
height, roll and pitch."""

_LARGEST_VARIANCE = 1e7
"""Square metres and square radians; larger ones lose the digits of the smaller ones."""

_UNSAID_SIGMA = np.repeat([0.5, np.radians(15.0)], 3)


class InitialPose:
    """The newest initialpose, until it has led to a fix or has become too old."""

    def __init__(
        self,
        *,
        transforms_lookup: TransformLookup,
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
        self._odom_frame = odom_frame
        self._base_frame = base_frame
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._given: PoseEstimate | None = None
        self._returned: PoseEstimate | None = None
        self._odom_from_base: Array | None = None
        self._until = 0.0

    def set(self, pose: PoseEstimate) -> None:
        """Take over where the base is now, in the map."""
        odometry = self._odometry()
        with self._lock:
            self._given, self._odom_from_base = pose, odometry
            self._until = self._clock() + self._timeout_s

    def estimate(self) -> PoseEstimate | None:
        """Return where the base is, moved by the odometry since it was given; None without one."""
        with self._lock:
            given, before = self._given, self._odom_from_base
            if given is None or self._clock() > self._until:
                return None
            self._returned = given
        now = self._odometry()
        if before is None or now is None:
            return given
        return given.moved(transforms.invert(before) @ now, np.zeros(6))

    def done(self) -> None:
        """Forget the one that was returned last, unless a newer one has come since."""
        with self._lock:
            if self._given is self._returned:
                self._given = None

    def clear(self) -> None:
        """Forget it: time jumped."""
        with self._lock:
            self._given = None

    def _odometry(self) -> Array | None:
        try:
            return self._transforms.lookup(self._odom_frame, self._base_frame, 0, 0.0)
        except InputError:
            return None  # a robot without odometry: the pose is taken as it was given


def read_initial_pose(message: Any) -> tuple[str, PoseEstimate]:
    """
    Read a ``PoseWithCovarianceStamped`` of the base in a map.

    :returns: the map frame, and the pose with a covariance that a person's word can have.
    :raises InputError: for a pose that is none.
    """
    pose = messages.pose_from_message(message.pose.pose)
    if not np.all(np.abs(pose[:3, 3]) <= LARGEST_M):
        raise InputError('initialpose is further away than any map reaches')
    covariance = _at_least_a_guess(message.pose.covariance)
    return message.header.frame_id.lstrip('/'), PoseEstimate(pose, covariance)


def _at_least_a_guess(covariance: Any) -> Array:
    """
    Return a covariance (6, 6) of a person's word, in which nothing is more certain than can be.

    :raises InputError: when it is none.
    """
    matrix = np.array(covariance, np.float64).reshape(6, 6)
    matrix = 0.5 * (matrix + matrix.T)
    bounded = bool(np.all(np.abs(matrix) <= _LARGEST_VARIANCE))  # and a NaN is not
    if not bounded or np.linalg.eigvalsh(matrix)[0] < -1e-9:
        raise InputError('initialpose has a covariance that is none')
    unsaid = np.diag(matrix) <= 0.0
    matrix[unsaid, :] = matrix[:, unsaid] = 0.0
    matrix += np.diag(np.where(unsaid, _UNSAID_SIGMA**2, 0.0))
    # Never less than the least: the sum of both is, and stays positive definite.
    return np.asarray(matrix + np.diag(_LEAST_SIGMA**2))
