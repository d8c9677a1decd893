"""How the base moved between the stamps of two cameras of one moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.tracking import TrackingLocalizer
from hloc_localizer.maps import Map
from hloc_localizer.ros.stream import Stream

LATER_NS = 19_000_000


class _Odometry:
    """Turns about z at a rate; at stamps of an odd second nothing is known."""

    def __init__(self, degrees_per_s: float) -> None:
        self._radians_per_ns = np.radians(degrees_per_s) * 1e-9

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> np.ndarray:
        if stamp_ns // 10**9 % 2:
            raise InputError('no odometry')
        rotation = transforms.rotation_from_rotvec([0.0, 0.0, self._radians_per_ns * stamp_ns])
        return transforms.transform_from(rotation, [0.0, 0.0, 0.0])


def _turn_deg(lounge_map: Path, degrees_per_s: float, from_ns: int = 0) -> float:
    stream = Stream(
        localizer=TrackingLocalizer(Localizer(Map.load(lounge_map))),
        transforms_lookup=_Odometry(degrees_per_s), odom_frame='odom', base_frame='base',
        timeout_s=0.0,
    )  # fmt: skip
    forth = stream.motion(from_ns, from_ns + LATER_NS)
    back = stream.motion(from_ns + LATER_NS, from_ns)
    np.testing.assert_allclose(forth @ back, np.eye(4), atol=1e-12)
    return float(np.degrees(transforms.rotation_angle(forth[:3, :3])))


def test_a_camera_that_is_late_is_where_odometry_moved_it(lounge_map: Path) -> None:
    assert _turn_deg(lounge_map, 100.0) == pytest.approx(1.9)


def test_odometry_that_no_robot_can_follow_moves_no_camera(lounge_map: Path) -> None:
    """A damaged message between two cameras must not turn one of them by 58 degrees."""
    assert _turn_deg(lounge_map, 3000.0) == 0.0


def test_without_odometry_no_camera_is_moved(lounge_map: Path) -> None:
    assert _turn_deg(lounge_map, 100.0, 10**9) == 0.0
