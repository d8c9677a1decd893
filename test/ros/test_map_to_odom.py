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


@pytest.mark.parametrize('smoothing_s', [0.0, 1.0])
def test_a_clock_that_is_put_back_a_little_holds_up_no_fix(
    sent: list[Any], clock: _Clock, smoothing_s: float
) -> None:
    """As time servers do; nobody calls that a jump."""
    correction = MapToOdom(
        send=sent.append, now_ns=lambda: clock.now_ns, map_frame='map', odom_frame='odom',
        tolerance_s=0.1, smoothing_s=smoothing_s,
    )  # fmt: skip
    for x in (0.0, 0.1, 0.2):
        correction.update(_pose([0, 0, 0], [x, 0, 0]), np.eye(4))
        clock.now_ns -= SECOND // 2
    assert len(sent) == 1  # stamps only grow
    clock.now_ns += 4 * SECOND
    correction.broadcast()
    assert sent[1].transform.translation.x == 0.2


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


def _smoothed(sent: list[Any], clock: _Clock) -> MapToOdom:
    return MapToOdom(
        send=sent.append, now_ns=lambda: clock.now_ns, map_frame='map', odom_frame='odom',
        tolerance_s=0.1, smoothing_s=0.2,
    )  # fmt: skip


def _broadcasts(correction: MapToOdom, clock: _Clock, seconds: float, sent: list[Any]) -> Any:
    """Broadcast at 20 Hz; return all corrections from the one that was sent before."""
    first = len(sent) - 1
    for _ in range(round(seconds * 20)):
        clock.now_ns += SECOND // 20
        correction.broadcast()
    return np.array([messages.transform_from_message(m.transform) for m in sent[first:]])


def test_a_new_correction_is_reached_in_small_steps_at_the_base_far_from_the_origin_of_odometry(
    sent: list[Any], clock: _Clock
) -> None:
    correction = _smoothed(sent, clock)
    odom_from_base = _pose([0, 0, 0.3], [200.0, 0.0, 0.0])
    before = _pose([0, 0, 0.8], [5.0, 3.0, 0.0])
    after = _pose([0, 0, 0.8 + np.radians(4.0)], [5.08, 2.94, 0.0])
    correction.update(before, odom_from_base)
    clock.now_ns += SECOND
    correction.update(after, odom_from_base)
    poses = _broadcasts(correction, clock, 0.3, sent) @ odom_from_base
    metres, radians = transforms.pose_distance(poses[:-1], poses[1:])
    assert metres.max() == pytest.approx(0.1 / 4, abs=1e-9)
    assert np.degrees(radians.max()) == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(poses[0], before, atol=1e-12)  # the fix itself moves nothing
    np.testing.assert_allclose(poses[-1], after, atol=1e-12)
    np.testing.assert_allclose(poses[-2], after, atol=1e-12)  # reached after 0.2 s


def test_a_fix_on_the_way_is_headed_for_from_where_one_is(sent: list[Any], clock: _Clock) -> None:
    correction = _smoothed(sent, clock)
    correction.update(np.eye(4), np.eye(4))
    clock.now_ns += SECOND
    correction.update(_pose([0, 0, 0], [0.1, 0, 0]), np.eye(4))
    assert _broadcasts(correction, clock, 0.1, sent)[-1][0, 3] == pytest.approx(0.05)
    correction.update(_pose([0, 0, 0], [-0.05, 0, 0]), np.eye(4))
    reached = _broadcasts(correction, clock, 0.2, sent)[:, 0, 3]
    np.testing.assert_allclose(reached, [0.05, 0.025, 0.0, -0.025, -0.05], atol=1e-12)


@pytest.mark.parametrize('step', [[0.6, 0.0, 0.0], [0.0, 0.0, 0.2]])
def test_another_place_is_no_drift_and_comes_at_once(
    step: list[float], sent: list[Any], clock: _Clock
) -> None:
    correction = _smoothed(sent, clock)
    correction.update(np.eye(4), np.eye(4))
    clock.now_ns += SECOND
    other = _pose([0, 0, step[2]], [step[0], 0, 0])
    correction.update(other, np.eye(4))
    np.testing.assert_allclose(messages.transform_from_message(sent[-1].transform), other)


@pytest.mark.parametrize('hz', [10, 20])
def test_fixes_that_come_faster_reach_the_correction_after_three_times_as_long(
    hz: int, sent: list[Any], clock: _Clock
) -> None:
    correction = _smoothed(sent, clock)
    correction.update(np.eye(4), np.eye(4))
    clock.now_ns += SECOND
    for _ in range(round(0.6 * hz)):
        correction.update(_pose([0, 0, 0], [0.1, 0, 0]), np.eye(4))
        _broadcasts(correction, clock, 1.0 / hz, sent)
    reached = messages.transform_from_message(sent[-1].transform)[0, 3]
    assert 0.095 < reached <= 0.1


def test_after_a_pause_the_next_fix_comes_at_once(sent: list[Any], clock: _Clock) -> None:
    correction = MapToOdom(
        send=sent.append, now_ns=lambda: clock.now_ns, map_frame='map', odom_frame='odom',
        tolerance_s=0.1, max_age_s=0.05, smoothing_s=0.2,
    )  # fmt: skip
    correction.update(np.eye(4), np.eye(4))
    time.sleep(0.06)
    clock.now_ns += SECOND
    correction.update(_pose([0, 0, 0], [0.3, 0, 0]), np.eye(4))
    assert sent[-1].transform.translation.x == pytest.approx(0.3)
