"""Which stamps are of the present time, and which make time jump."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from hloc_localizer.ros.stamp_times import StampTimes, Timing

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
PERIOD_S = 0.1


class _Cameras:
    """Cameras at 10 Hz; a step is a tenth of a second."""

    def __init__(self) -> None:
        self.now = 50.0
        self.times = StampTimes(clock=lambda: self.now)

    def take(self, seconds: float, camera: int = 0) -> Timing:
        return self.times.judge(BEGIN + round(seconds * SECOND), camera)

    def run(self, begin_s: float, images: int, camera: int = 0) -> list[Timing]:
        found = []
        for number in range(images):
            self.now += PERIOD_S
            found.append(self.take(begin_s + number * PERIOD_S, camera))
        return found


@pytest.fixture
def cameras() -> _Cameras:
    return _Cameras()


@pytest.mark.parametrize('stamp_ns', [0, -1, -BEGIN])
def test_an_image_without_stamp_is_told_apart_at_any_time(cameras: _Cameras, stamp_ns: int) -> None:
    assert cameras.times.judge(stamp_ns) is Timing.UNSTAMPED
    assert cameras.run(0.0, 3) == [Timing.PRESENT] * 3
    assert cameras.times.judge(stamp_ns) is Timing.UNSTAMPED
    assert cameras.run(0.4, 3) == [Timing.PRESENT] * 3


@pytest.mark.parametrize('seconds', [-1e6, -2.0, 100.0, 1e8])
def test_a_few_stamps_of_another_time_change_nothing(cameras: _Cameras, seconds: float) -> None:
    for number in range(20):
        assert cameras.run(0.6 * number, 2) == [Timing.PRESENT] * 2
        assert cameras.run(seconds, 4) == [Timing.ELSEWHERE] * 4


def test_five_images_in_a_row_make_time_jump_back(cameras: _Cameras) -> None:
    cameras.run(100.0, 5)
    assert cameras.run(0.0, 6) == [*[Timing.ELSEWHERE] * 4, Timing.JUMPED_BACK, Timing.PRESENT]
    assert cameras.run(0.6, 3) == [Timing.PRESENT] * 3


def test_images_that_stand_still_or_contradict_each_other_are_no_time(cameras: _Cameras) -> None:
    cameras.run(100.0, 5)
    assert {cameras.take(3.0) for _ in range(20)} == {Timing.ELSEWHERE}
    assert {cameras.take(-50.0 * number) for number in range(20)} == {Timing.ELSEWHERE}


def test_a_jump_ahead_is_followed_without_a_jump_back(cameras: _Cameras) -> None:
    cameras.run(0.0, 5)
    assert cameras.run(1000.0, 6) == [*[Timing.ELSEWHERE] * 4, *[Timing.PRESENT] * 2]


def test_a_camera_that_was_off_and_a_recording_played_fast_are_no_jump(cameras: _Cameras) -> None:
    cameras.run(0.0, 5)
    cameras.now += 600.0
    assert cameras.run(600.0, 5) == [Timing.PRESENT] * 5
    assert {cameras.take(601.0 + 30.0 * number) for number in range(20)} == {Timing.PRESENT}


def test_a_late_camera_is_told_and_makes_no_time_jump(cameras: _Cameras) -> None:
    for number in range(100):
        cameras.now += PERIOD_S
        assert cameras.take(number * PERIOD_S) is Timing.PRESENT
        assert cameras.take(number * PERIOD_S - 1.2, camera=1) is Timing.PRESENT
    assert cameras.times.late_s() == {1: pytest.approx(1.2, abs=1e-3)}


def test_a_camera_that_is_off_is_not_late(cameras: _Cameras) -> None:
    cameras.run(0.0, 5)
    cameras.run(0.5, 5, camera=1)
    cameras.run(1.0, 100)
    assert cameras.times.late_s() == {}


def test_one_camera_whose_clock_went_wrong_does_not_take_the_others_along(
    cameras: _Cameras,
) -> None:
    for number in range(50):
        assert cameras.run(number * PERIOD_S, 1, camera=0) == [Timing.PRESENT]
        wrong = 100.0 if number < 10 else 0.0
        expected = Timing.PRESENT if number < 10 else Timing.ELSEWHERE
        assert cameras.take(wrong + number * PERIOD_S, camera=1) is expected


def test_after_a_reset_the_first_stamp_is_believed(cameras: _Cameras) -> None:
    cameras.run(100.0, 5)
    cameras.times.reset()
    assert cameras.run(0.0, 3) == [Timing.PRESENT] * 3
