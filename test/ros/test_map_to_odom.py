"""The correction map -> odom: what it is, and when it is sent."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from hloc_localizer.geometry import transforms
from hloc_localizer.ros import messages
from hloc_localizer.ros.map_to_odom import MapToOdom

SECOND = 1_000_000_000


class _Clock:
    now_ns = 1_700_000_000 * SECOND


@pytest.fixture
def sent() -> list[Any]:
    return []


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def correction(sent: list[Any], clock: _Clock) -> MapToOdom:
    return MapToOdom(
        send=sent.append,
        now_ns=lambda: clock.now_ns,
        map_frame='map',
        odom_frame='odom',
        tolerance_s=0.1,
    )


def _pose(rotvec: list[float], translation: list[float]) -> np.ndarray:
    return transforms.transform_from(transforms.rotation_from_rotvec(rotvec), translation)


def test_nothing_is_sent_before_the_first_fix(correction: MapToOdom, sent: list[Any]) -> None:
    correction.broadcast()
    assert sent == []
    assert correction.age_s is None


def test_correction_times_odometry_is_the_fix_and_the_stamp_has_the_tolerance(
    correction: MapToOdom, sent: list[Any], clock: _Clock
) -> None:
    map_from_base = _pose([0.1, -0.4, 2.0], [5.0, -3.0, 0.2])
    odom_from_base = _pose([-0.3, 0.2, 0.9], [1.0, 2.0, -0.5])
    correction.update(map_from_base, odom_from_base)
    map_from_odom = messages.transform_from_message(sent[0].transform)
    np.testing.assert_allclose(map_from_odom @ odom_from_base, map_from_base, atol=1e-12)
    assert (sent[0].header.frame_id, sent[0].child_frame_id) == ('map', 'odom')
    assert messages.stamp_to_ns(sent[0].header.stamp) == clock.now_ns + SECOND // 10


def test_a_clock_that_stands_still_gets_no_second_transform_of_one_stamp(
    correction: MapToOdom, sent: list[Any], clock: _Clock
) -> None:
    correction.update(np.eye(4), np.eye(4))
    correction.broadcast()
    correction.update(_pose([0, 0, 0], [1, 0, 0]), np.eye(4))
    assert len(sent) == 1
    clock.now_ns += SECOND // 20
    correction.broadcast()
    assert len(sent) == 2
    assert sent[1].transform.translation.x == 1.0  # the newer fix was kept for this stamp


def test_after_a_jump_back_nothing_is_sent_until_a_new_fix(
    correction: MapToOdom, sent: list[Any], clock: _Clock
) -> None:
    correction.update(np.eye(4), np.eye(4))
    clock.now_ns -= 50 * SECOND
    correction.reset()
    correction.broadcast()
    assert len(sent) == 1
    correction.update(np.eye(4), np.eye(4))
    assert len(sent) == 2


def test_a_lost_pose_is_sent_no_more_until_the_next_fix(
    correction: MapToOdom, sent: list[Any], clock: _Clock
) -> None:
    correction.update(np.eye(4), np.eye(4))
    correction.suspend()
    clock.now_ns += SECOND
    correction.broadcast()
    assert len(sent) == 1
    clock.now_ns += SECOND
    correction.update(np.eye(4), np.eye(4))
    assert len(sent) == 2


def test_a_correction_that_nothing_renews_ends(sent: list[Any], clock: _Clock) -> None:
    correction = MapToOdom(
        send=sent.append, now_ns=lambda: clock.now_ns, map_frame='map', odom_frame='odom',
        tolerance_s=0.1, max_age_s=0.05,
    )  # fmt: skip
    correction.update(np.eye(4), np.eye(4))
    time.sleep(0.06)
    clock.now_ns += SECOND
    correction.broadcast()
    assert len(sent) == 1
