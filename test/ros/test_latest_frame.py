"""The queue of one place: newest first, nothing waits behind old work."""

from __future__ import annotations

import threading
import time

from hloc_localizer.ros.latest_frame import LatestFrame


def test_only_the_newest_item_waits_and_the_others_are_counted() -> None:
    queue: LatestFrame[int] = LatestFrame()
    for item in range(5):
        queue.put(item)
    assert queue.get(0.0) == 4
    assert queue.dropped == 4
    assert queue.get(0.0) is None


def test_a_slow_consumer_never_works_on_an_item_older_than_its_own_work() -> None:
    queue: LatestFrame[tuple[int, float]] = LatestFrame()
    ages, numbers = [], []

    def consume() -> None:
        while (item := queue.get()) is not None:
            ages.append(time.monotonic() - item[1])
            numbers.append(item[0])
            time.sleep(0.05)

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(60):
        queue.put((number, time.monotonic()))
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
    queue: LatestFrame[int] = LatestFrame()
    results: list[int | None] = [0]
    waiter = threading.Thread(target=lambda: results.append(queue.get()))
    waiter.start()
    queue.close()
    waiter.join(5.0)
    assert results == [0, None]
    queue.put(1)
    assert queue.get() is None


def test_a_clear_forgets_without_counting_a_drop() -> None:
    queue: LatestFrame[int] = LatestFrame()
    queue.put(1)
    queue.clear()
    assert queue.get(0.0) is None
    assert queue.dropped == 0
