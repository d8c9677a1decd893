"""Between ROS messages and the library's arrays: stamps, poses, transforms, covariances."""

from __future__ import annotations

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import (
    Pose,
    PoseStamped,
    PoseWithCovarianceStamped,
    Transform,
    TransformStamped,
)
from numpy.typing import NDArray
from std_msgs.msg import Header

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.sources.messages import matrix_of_pose, matrix_of_transform

Array = NDArray[np.float64]


def stamp_to_ns(stamp: Any) -> int:
    """Return a ``builtin_interfaces/Time`` as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def stamp_from_ns(stamp_ns: int) -> Time:
    """Return nanoseconds as a ``builtin_interfaces/Time``."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=seconds, nanosec=nanoseconds)


def header(frame_id: str, stamp_ns: int) -> Header:
    """Return a header."""
    return Header(frame_id=frame_id, stamp=stamp_from_ns(stamp_ns))


def pose_message(target_from_source: Array) -> Pose:
    """Return the pose of ``source`` in ``target``, (4, 4), as a message."""
    x, y, z, w = (float(v) for v in transforms.quaternion_from_rotation(target_from_source[:3, :3]))
    message = Pose()
    message.position.x, message.position.y, message.position.z = (
        float(value) for value in target_from_source[:3, 3]
    )
    message.orientation.x, message.orientation.y = x, y
    message.orientation.z, message.orientation.w = z, w
    return message


def pose_from_message(pose: Any) -> Array:
    """
    Return a pose message as (4, 4).

    :raises InputError: when it is not finite or its quaternion has no direction.
    """
    try:
        return matrix_of_pose(pose)
    except ValueError as error:
        raise InputError(f'pose: {error}') from error


def transform_message(
    parent: str, child: str, stamp_ns: int, parent_from_child: Array
) -> TransformStamped:
    """Return ``parent_from_child``, (4, 4), as a stamped transform."""
    pose = pose_message(parent_from_child)
    transform = Transform(rotation=pose.orientation)
    transform.translation.x, transform.translation.y = pose.position.x, pose.position.y
    transform.translation.z = pose.position.z
    return TransformStamped(
        header=header(parent, stamp_ns), child_frame_id=child, transform=transform
    )


def transform_from_message(transform: Any) -> Array:
    """
    Return a ``geometry_msgs/Transform`` as (4, 4).

    :raises InputError: when it is not finite or its quaternion has no direction.
    """
    try:
        return matrix_of_transform(transform)
    except ValueError as error:
        raise InputError(f'transform: {error}') from error


def pose_stamped(frame_id: str, stamp_ns: int, pose: Array) -> PoseStamped:
    """Return a pose (4, 4) as PoseStamped."""
    return PoseStamped(header=header(frame_id, stamp_ns), pose=pose_message(pose))


def pose_with_covariance_stamped(
    frame_id: str, stamp_ns: int, pose: Array, covariance: Array
) -> PoseWithCovarianceStamped:
    """
    Return a pose (4, 4) with its covariance as PoseWithCovarianceStamped.

    :param covariance: (6, 6) of x y z in metres and rotations in radians about the fixed axes x
        y z of ``frame_id``, which is also the order of the message.
    """
    message = PoseWithCovarianceStamped(header=header(frame_id, stamp_ns))
    message.pose.pose = pose_message(pose)
    message.pose.covariance = [float(value) for value in np.asarray(covariance).reshape(36)]
    return message
