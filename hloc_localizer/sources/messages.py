"""Fields of ROS messages as plain values; the same for ROS 1, ROS 2, rosbags and rclpy objects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def stamp_ns(stamp: Any) -> int:
    """Return a ``builtin_interfaces/Time`` (or a ROS 1 time) in nanoseconds."""
    nanoseconds = stamp.nanosec if hasattr(stamp, 'nanosec') else stamp.nsecs
    seconds = stamp.sec if hasattr(stamp, 'sec') else stamp.secs
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def frame_id(name: str) -> str:
    """Return a frame name without the leading slash that ROS 1 wrote."""
    return name.lstrip('/')


def matrix_of_transform(transform: Any) -> NDArray[np.float64]:
    """
    Return the 4x4 matrix of a ``geometry_msgs/Transform``.

    :raises ValueError: for a quaternion without direction or values that are not finite.
    """
    return rigid_matrix(transform.translation, transform.rotation)


def matrix_of_pose(pose: Any) -> NDArray[np.float64]:
    """
    Return the 4x4 matrix of a ``geometry_msgs/Pose``.

    :raises ValueError: for a quaternion without direction or values that are not finite.
    """
    return rigid_matrix(pose.position, pose.orientation)


def rigid_matrix(position: Any, quaternion: Any) -> NDArray[np.float64]:
    """
    Return the 4x4 matrix of a position (fields x y z) and a quaternion (fields x y z w).

    Scalar arithmetic: a bag holds some hundred thousand of them, and array calls on one
    quaternion cost twenty times as much.

    :raises ValueError: for a quaternion without direction or values that are not finite.
    """
    x, y, z, w = quaternion.x, quaternion.y, quaternion.z, quaternion.w
    squared = x * x + y * y + z * z + w * w
    place = (position.x, position.y, position.z)
    if not (1e-12 < squared < math.inf and all(map(math.isfinite, place))):
        raise ValueError('transform with a quaternion of no direction or a value not finite')
    s = 2.0 / squared
    return np.array(
        [
            [1.0 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w), place[0]],
            [s * (x * y + z * w), 1.0 - s * (x * x + z * z), s * (y * z - x * w), place[1]],
            [s * (x * z - y * w), s * (y * z + x * w), 1.0 - s * (x * x + y * y), place[2]],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
