"""Which stamps are of the present time: a single wrong one is no jump, several may be one."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_BACK_NS = 1_000_000_000
"""Messages of one sender overtake each other by no more than this."""

_AHEAD_NS = 60_000_000_000
"""A stamp may be so far ahead of the one before, and ..."""

_AHEAD_RATE = 10
"""... further by so many times the time that passed since: recordings are played fast."""

_IN_A_ROW = 5
"""Messages that agree on another time before it is believed."""

_APART_NS = 1_000_000_000
"""Senders that are further apart than this are told of."""


class Timing(enum.Enum):
    """What a stamp says."""

    PRESENT = 'present'
    UNSTAMPED = 'unstamped'
    ELSEWHERE = 'elsewhere'
    """It is far from those before; if others follow it, time has jumped."""
    JUMPED_BACK = 'jumped back'
    """This and several before it agree that it is earlier than was believed."""


@dataclass(frozen=True)
class _Stamp:
    """The newest message of a sender."""

    stamp_ns: int
    heard: float

    def is_followed_by(self, stamp_ns: int, now: float) -> bool:
        passed_ns = _AHEAD_RATE * int((now - self.heard) * 1e9)
        return -_BACK_NS <= stamp_ns - self.stamp_ns <= _AHEAD_NS + passed_ns


class StampTimes:
    """
    Judges the stamp of every message that arrives: of the images of cameras, or of odometry.

    A sender is compared with itself: one that is late, or whose clock went wrong, never makes the
    time of the others jump. Between two messages of another time none of the old one may come.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Begin without a time.

        :param clock: steady seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all stamps: time is known to have jumped."""
        with self._lock:
            self._last: dict[int, _Stamp] = {}
            self._elsewhere: dict[int, _Stamp] = {}
            self._late_ns: dict[int, int] = {}
            self._in_a_row = 0

    def judge(self, stamp_ns: int, sender: int = 0) -> Timing:
        """
        Take the stamp of a message that arrived.

        :param sender: the number of who sent it.
        """
        if stamp_ns <= 0:
            return Timing.UNSTAMPED
        with self._lock:
            now = self._clock()
            last = self._last.get(sender)
            newest_ns = max((one.stamp_ns for one in self._last.values()), default=stamp_ns)
            self._late_ns[sender] = newest_ns - stamp_ns
            if last is None or last.is_followed_by(stamp_ns, now):
                self._go_on(stamp_ns, sender, now)
                return Timing.PRESENT
            return self._another_time(stamp_ns, sender, now, last)

    def behind_ns(self, stamp_ns: int, sender: int = 0) -> int:
        """Return how much older a stamp is than the newest of its sender."""
        with self._lock:
            last = self._last.get(sender)
            return 0 if last is None else last.stamp_ns - stamp_ns

    def late_s(self) -> dict[int, float]:
        """Return who sent last what was older than what another had sent, and by how much."""
        with self._lock:
            return {
                sender: late_ns * 1e-9
                for sender, late_ns in self._late_ns.items()
                if late_ns > _APART_NS
            }

    def _go_on(self, stamp_ns: int, sender: int, now: float) -> None:
        self._elsewhere.clear()
        self._in_a_row = 0
        last = self._last.get(sender)
        newest_ns = stamp_ns if last is None else max(stamp_ns, last.stamp_ns)
        self._last[sender] = _Stamp(newest_ns, now)

    def _another_time(self, stamp_ns: int, sender: int, now: float, last: _Stamp) -> Timing:
        """Count the messages that agree on a time which is not that of those before."""
        before = self._elsewhere.get(sender)
        grows = before is None or stamp_ns > before.stamp_ns
        agrees = grows and (before is None or before.is_followed_by(stamp_ns, now))
        self._in_a_row = self._in_a_row + 1 if agrees else 1
        self._elsewhere[sender] = _Stamp(stamp_ns, now)
        if self._in_a_row < _IN_A_ROW:
            return Timing.ELSEWHERE
        self._last = {}
        self._go_on(stamp_ns, sender, now)
        return Timing.JUMPED_BACK if stamp_ns < last.stamp_ns else Timing.PRESENT
