"""A queue of one moment: the newest images wait, those of one time together; older are dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_ItemT = TypeVar('_ItemT')

_SILENT_S = 1.0
"""A camera that fell silent so long before the others were last heard is not waited for."""

_GATHERED = 4
"""Moments that are gathered at a time, should cameras be late by different times."""


@dataclass(eq=False)
class _Moment(Generic[_ItemT]):
    stamp_ns: int
    begun: float
    expected: set[int]
    """The cameras that are waited for."""
    items: dict[int, _ItemT] = field(default_factory=dict)


class LatestMoment(Generic[_ItemT]):
    """
    Hand the newest items, those of one moment at a time, from one thread to another.

    A consumer slower than its producers therefore always works on the newest moment, and the delay
    it adds is never longer than one moment's work. Of several cameras a moment is ready when all
    that are alive have brought their image, or when the wait is over.
    """

    def __init__(
        self,
        *,
        cameras: int = 1,
        tolerance_s: float = 0.0,
        wait_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Begin without any item.

        :param cameras: how many there are.
        :param tolerance_s: items whose stamps differ by no more are of one moment.
        :param wait_s: how long the cameras that are missing in a moment are waited for.
        :param clock: steady seconds.
        """
        self._tolerance_ns = round(tolerance_s * 1e9)
        self._wait_s = wait_s
        self._clock = clock
        self._condition = threading.Condition()
        self._moments: list[_Moment[_ItemT]] = []
        self._heard = dict.fromkeys(range(cameras), clock())
        self._dropped = 0
        self._closed = False

    @property
    def dropped(self) -> int:
        """How many items were replaced by newer ones before anybody took them."""
        with self._condition:
            return self._dropped

    def put(self, item: _ItemT, *, stamp_ns: int = 0, camera: int = 0) -> None:
        """
        Let an item wait with those of its moment.

        :param stamp_ns: when it was taken.
        :param camera: which camera took it.
        """
        with self._condition:
            if self._closed:
                return
            now = self._clock()
            self._moment_of(stamp_ns, camera, now).items[camera] = item
            self._heard[camera] = now
            ready = self._newest_ready(now)
            if ready is not None:
                self._drop(self._older_than(ready))
            self._drop(self._moments[:-_GATHERED])
            self._condition.notify()

    def get(self, timeout_s: float | None = None) -> dict[int, _ItemT] | None:
        """
        Take the items of the newest moment that is ready, waiting for one.

        :returns: by camera, in their order; None after the timeout or when closed.
        """
        end = None if timeout_s is None else self._clock() + timeout_s
        with self._condition:
            while not self._closed:
                now = self._clock()
                ready = self._newest_ready(now)
                if ready is not None:
                    self._drop(self._older_than(ready))
                    self._moments.remove(ready)
                    return dict(sorted(ready.items.items()))
                if end is not None and now >= end:
                    return None
                dues = [moment.begun + self._wait_s for moment in self._moments]
                due = min(dues if end is None else [*dues, end], default=None)
                self._condition.wait(None if due is None else max(due - now, 0.0))
            return None

    def clear(self) -> None:
        """Forget what waits without counting it as dropped."""
        with self._condition:
            self._moments.clear()

    def close(self) -> None:
        """Let every waiting and future :meth:`get` return None at once."""
        with self._condition:
            self._closed = True
            self._moments.clear()
            self._condition.notify_all()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        with self._condition:
            return self._closed

    def _moment_of(self, stamp_ns: int, camera: int, now: float) -> _Moment[_ItemT]:
        """Return the moment that an item belongs to, a new one where there is none."""
        for moment in reversed(self._moments):
            near = abs(stamp_ns - moment.stamp_ns) <= self._tolerance_ns
            if near and camera not in moment.items:
                return moment
        last = max(self._heard.values())
        alive = {camera for camera, heard in self._heard.items() if last - heard < _SILENT_S}
        self._moments.append(_Moment(stamp_ns, now, alive))
        return self._moments[-1]

    def _is_ready(self, moment: _Moment[_ItemT], now: float) -> bool:
        return moment.expected <= set(moment.items) or now - moment.begun >= self._wait_s

    def _newest_ready(self, now: float) -> _Moment[_ItemT] | None:
        ready = [moment for moment in reversed(self._moments) if self._is_ready(moment, now)]
        return max(ready, key=lambda moment: moment.stamp_ns, default=None)

    def _older_than(self, ready: _Moment[_ItemT]) -> list[_Moment[_ItemT]]:
        return [one for one in self._moments if one is not ready and one.stamp_ns <= ready.stamp_ns]

    def _drop(self, moments: list[_Moment[_ItemT]]) -> None:
        self._dropped += sum(len(moment.items) for moment in moments)
        self._moments = [moment for moment in self._moments if moment not in moments]
