"""Two drives of a wheeled robot through the room, and what its odometry makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.trajectory import Trajectory

Array = NDArray[np.float64]

CAMERA = Camera('OPENCV', 640, 480, (420.0, 421.0, 317.6, 242.3, -0.06, 0.012, 0.0006, -0.0004))
"""A webcam-like camera of 75 degrees: plumb_bob."""

ODOMETRY_HZ = 50

_SECOND = 1_000_000_000
_MAP_START_NS = 1_700_000_000 * _SECOND
_QUERY_START_NS = 1_700_086_400 * _SECOND + 123_456_789

_MAP_WAYPOINTS = (
    (0.95, 3.2), (1.35, 4.5), (2.5, 5.15), (3.7, 4.95), (4.5, 4.0), (5.2, 2.75), (6.3, 2.15),
    (7.6, 2.3), (8.7, 3.0), (9.0, 4.2), (8.6, 5.4), (7.5, 5.72), (6.3, 5.55), (5.6, 4.7),
    (5.15, 3.6), (4.75, 2.3), (4.0, 1.2), (2.7, 0.95), (1.35, 0.95), (0.95, 1.9), (0.95, 3.2),
)  # fmt: skip
_QUERY_WAYPOINTS = (
    (1.25, 3.6), (1.6, 4.6), (2.6, 4.85), (3.7, 4.6), (4.6, 3.7), (5.4, 2.6), (6.6, 2.45),
    (7.9, 2.6), (8.75, 3.4), (8.75, 4.6), (8.1, 5.5), (6.9, 5.6), (5.9, 5.1), (5.35, 4.0),
    (4.85, 2.8),
)  # fmt: skip


@dataclass(frozen=True)
class Drive:
    """One drive, as it was and as the odometry tells it."""

    image_stamps_ns: NDArray[np.int64]
    map_from_base: Trajectory
    """The truth, at the odometry's rate."""
    odom_from_base: Trajectory
    """The odometry, at the same stamps."""


def base_from_camera() -> Array:
    """Return the camera's mounting: on a mast, looking ahead and a little down."""
    pitch = np.radians(3.0)
    forward = np.array([np.cos(pitch), 0.0, -np.sin(pitch)])
    right = np.array([0.0, -1.0, 0.0])
    rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
    return transforms.transform_from(rotation, [0.12, 0.02, 0.96])


def mapping_drive(seed: int, image_hz: float = 5.0) -> Drive:
    """Return a drive in a figure of eight, once around the table and once around the sofa."""
    return _drive(_MAP_WAYPOINTS, 1.0, _MAP_START_NS, image_hz, np.random.default_rng([seed, 1]))


def query_drive(seed: int, image_hz: float = 5.0) -> Drive:
    """Return another drive the next day: other lines, other stamps, another odometry origin."""
    return _drive(
        _QUERY_WAYPOINTS, 0.95, _QUERY_START_NS, image_hz, np.random.default_rng([seed, 2])
    )


def shortened(drive: Drive, seconds: float) -> Drive:
    """Return the beginning of a drive."""
    end = drive.map_from_base.stamps_ns[0] + round(seconds * _SECOND)
    keep = drive.map_from_base.stamps_ns <= end
    stamps = drive.map_from_base.stamps_ns[keep]
    return Drive(
        drive.image_stamps_ns[drive.image_stamps_ns < end],
        Trajectory(stamps, drive.map_from_base.poses[keep]),
        Trajectory(stamps, drive.odom_from_base.poses[keep]),
    )


def _drive(
    waypoints: tuple[tuple[float, float], ...],
    speed: float,
    start_ns: int,
    image_hz: float,
    random: np.random.Generator,
) -> Drive:
    path = _smooth_path(np.array(waypoints))
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    duration = way[-1] / speed + 1.0
    times = np.arange(0.0, duration, 1.0 / ODOMETRY_HZ)
    driven = _eased(times, duration) * way[-1]
    x, y = (np.interp(driven, way, path[:, axis]) for axis in (0, 1))
    heading = np.unwrap(np.arctan2(*np.gradient(path, axis=0).T[::-1]))
    poses = _planar(x, y, np.interp(driven, way, heading))
    stamps = start_ns + np.round(times * _SECOND).astype(np.int64)
    image_times = np.arange(0.1, duration - 0.1, 1.0 / image_hz)
    return Drive(
        start_ns + np.round(image_times * _SECOND).astype(np.int64),
        Trajectory(stamps, poses),
        Trajectory(stamps, _drifting(poses, random)),
    )


def _smooth_path(waypoints: Array) -> Array:
    """Return a dense Catmull-Rom curve (Catmull and Rom, 1974) through the waypoints."""
    closed = np.allclose(waypoints[0], waypoints[-1])
    before = waypoints[-2] if closed else 2 * waypoints[0] - waypoints[1]
    after = waypoints[1] if closed else 2 * waypoints[-1] - waypoints[-2]
    points = np.concatenate([[before], waypoints, [after]])
    t = np.linspace(0.0, 1.0, 200, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
               + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(points, points[1:], points[2:], points[3:], strict=False)
    ]  # fmt: skip
    return np.concatenate([*pieces, waypoints[-1:]])


def _eased(times: Array, duration: float) -> Array:
    """Return the share of the way driven: half a second of speeding up and of slowing down."""
    ramp = np.minimum(1.0, np.minimum(times, duration - times) / 1.0)
    driven = np.cumsum(np.maximum(ramp, 0.0))
    return np.asarray(driven / driven[-1])


def _drifting(poses: Array, random: np.random.Generator) -> Array:
    """
    Integrate the motion with wheels of a wrong radius, a biased gyroscope and slip.

    It begins at the origin of its own frame, as odometry does.
    """
    steps = transforms.invert(poses[:-1]) @ poses[1:]
    scale = 1.0 + random.normal(0.0, 0.012)
    bias = np.radians(random.choice([-1.0, 1.0]) * random.uniform(0.35, 0.5)) / ODOMETRY_HZ
    ahead = np.linalg.norm(steps[:, :2, 3], axis=1)
    angle = np.arctan2(steps[:, 1, 0], steps[:, 0, 0])
    x = steps[:, 0, 3] * scale + random.normal(0.0, 0.04, len(steps)) * ahead
    y = steps[:, 1, 3] + random.normal(0.0, 0.03, len(steps)) * ahead
    turned = angle * (1.0 + random.normal(0.0, 0.01)) + bias
    moved = _planar(x, y, turned)
    drifting = [np.eye(4)]
    for step in moved:
        drifting.append(drifting[-1] @ step)
    return np.stack(drifting)


def _planar(x: Array, y: Array, heading: Array) -> Array:
    rotations = transforms.rotation_from_rotvec(heading[:, None] * [0.0, 0.0, 1.0])
    return transforms.transform_from(rotations, np.stack([x, y, np.zeros_like(x)], axis=1))
