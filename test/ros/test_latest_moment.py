"""The queue of one moment: newest first, cameras together, nothing waits behind old work."""

from __future__ import annotations

import threading
import time

import pytest

from hloc_localizer.ros.latest_moment import LatestMoment

MS = 1_000_000


def test_only_the_newest_item_waits_and_the_others_are_counted() -> None:
    queue: LatestMoment[int] = LatestMoment()
    for item in range(5):
        queue.put(item, stamp_ns=item)
    assert queue.dropped == 4
    assert queue.get(0.0) == {0: 4}
    assert queue.get(0.0) is None


def test_a_slow_consumer_never_works_on_an_item_older_than_its_own_work() -> None:
    queue: LatestMoment[tuple[int, float]] = LatestMoment()
    ages, numbers = [], []

    def consume() -> None:
        while (items := queue.get()) is not None:
            ages.append(time.monotonic() - items[0][1])
            numbers.append(items[0][0])
            time.sleep(0.05)

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(60):
        queue.put((number, time.monotonic()), stamp_ns=number)
        time.sleep(0.01)
    time.sleep(0.1)
    queue.close()
    consumer.join(5.0)
    assert numbers == sorted(numbers)
    assert numbers[-1] == 59
    assert len(numbers) + queue.dropped == 60
    assert queue.dropped > 20
    assert sorted(ages)[len(ages) // 2] < 0.02  # put every 10 ms: the newest is at most that old


def test_a_close_frees_whoever_waits() -> None:
    queue: LatestMoment[int] = LatestMoment()
    results: list[dict[int, int] | None] = [{}]
    waiter = threading.Thread(target=lambda: results.append(queue.get()))
    waiter.start()
    queue.close()
    waiter.join(5.0)
    assert results == [{}, None]
    queue.put(1)
    assert queue.get() is None


def test_a_clear_forgets_without_counting_a_drop() -> None:
    queue: LatestMoment[int] = LatestMoment()
    queue.put(1)
    queue.clear()
    assert queue.get(0.0) is None
    assert queue.dropped == 0


class _Rig:
    """Two cameras whose images are of one moment within 20 ms and waited for during 50 ms."""

    def __init__(self) -> None:
        self.now = 100.0
        self.queue: LatestMoment[str] = LatestMoment(
            cameras=2, tolerance_s=0.02, wait_s=0.05, clock=lambda: self.now
        )

    def put(self, camera: int, ms: int, after_s: float = 0.0) -> None:
        self.now += after_s
        self.queue.put(f'{camera}@{ms}', stamp_ns=ms * MS, camera=camera)

    def get(self, after_s: float = 0.0) -> list[str] | None:
        self.now += after_s
        items = self.queue.get(0.0)
        return None if items is None else list(items.values())


@pytest.fixture
def rig() -> _Rig:
    return _Rig()


def test_images_of_one_moment_are_taken_together_in_the_order_of_the_cameras(rig: _Rig) -> None:
    rig.put(1, 100)
    assert rig.get() is None
    rig.put(0, 115)
    assert rig.get() == ['0@115', '1@100']
    assert rig.get() is None


def test_images_further_apart_are_two_moments(rig: _Rig) -> None:
    dropped = rig.queue.dropped
    rig.put(0, 100)
    rig.put(1, 125)
    assert rig.get() is None
    assert rig.get(after_s=0.06) == ['1@125']
    assert rig.queue.dropped == dropped + 1


def test_a_missing_camera_is_waited_for_and_no_longer_than_that(rig: _Rig) -> None:
    rig.put(0, 100)
    assert rig.get(after_s=0.04) is None
    assert rig.get(after_s=0.02) == ['0@100']
    rig.put(1, 101)  # late: it is a moment of its own, which the tracker may still use or refuse
    assert rig.get(after_s=0.06) == ['1@101']


def test_a_camera_that_fell_silent_is_not_waited_for(rig: _Rig) -> None:
    waits = []
    for number in range(14):
        rig.put(0, 200 + 100 * number, after_s=0.1)
        waits.append(rig.get() is None)
        if waits[-1]:
            assert rig.get(after_s=0.06) == [f'0@{200 + 100 * number}']
    assert waits == [True] * 7 + [False] * 7  # after a second
    rig.put(1, 2000)
    rig.put(0, 2001)
    assert rig.get() == ['0@2001', '1@2000']


def test_a_whole_moment_replaces_older_ones_and_keeps_newer_ones(rig: _Rig) -> None:
    dropped = rig.queue.dropped
    rig.put(0, 100)
    rig.put(0, 200)
    rig.put(0, 300)
    rig.put(1, 200)
    assert rig.queue.dropped == dropped + 1
    assert rig.get() == ['0@200', '1@200']
    rig.put(1, 300)
    assert rig.get() == ['0@300', '1@300']


def test_cameras_that_never_meet_do_not_fill_the_memory(rig: _Rig) -> None:
    dropped = rig.queue.dropped
    for number in range(100):
        rig.put(number % 2, 100 * number)
    assert rig.queue.dropped - dropped == 96


def test_an_image_of_an_older_time_makes_none_of_those_that_wait_leave(rig: _Rig) -> None:
    rig.put(0, 5000)
    rig.put(1, 100)
    rig.put(1, 5000)
    assert rig.get() == ['0@5000', '1@5000']
    assert rig.get(after_s=0.1) is None


def test_the_wait_ends_by_itself() -> None:
    queue: LatestMoment[int] = LatestMoment(cameras=2, tolerance_s=0.02, wait_s=0.05)
    queue.put(2, stamp_ns=100 * MS, camera=0)
    begin = time.monotonic()
    assert queue.get() == {0: 2}
    assert 0.04 < time.monotonic() - begin < 5.0
