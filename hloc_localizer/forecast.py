"""How long work in stages will still take: by its own pace, and by what stages usually take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

Plan = Sequence[tuple[str, float]]
"""Stages in their order, with the time that each usually takes; only the ratios count."""


class Forecast:
    """
    Estimates from what is done what is left.

    The stages so far tell how fast this machine is with this recording; what the later ones take
    is in proportion to that. A stage whose steps are counted is judged by its own pace.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """
        Begin without a plan.

        :param clock: in place of :func:`time.monotonic`.
        """
        self._clock = clock or time.monotonic
        self._plan: Plan = ()
        self._at = -1
        self._share = 0.0
        self._spent_s = self._spent_share = 0.0
        self._total: int | None = None
        self._done = 0
        self._begin = 0.0
        self._running = False

    def plan(self, stages: Plan) -> None:
        """Say which stages are to come."""
        self._plan, self._at = tuple(stages), -1
        self._spent_s = self._spent_share = 0.0

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage; stages of the plan that were to come before it are skipped."""
        self.end()
        self._begin, self._total, self._done, self._share = self._clock(), total, 0, 0.0
        self._running = True
        for number in range(self._at + 1, len(self._plan)):
            if self._plan[number][0] == name:
                self._at, self._share = number, self._plan[number][1]
                break

    def advance(self, steps: int = 1) -> None:
        """Count finished steps of the present stage."""
        self._done += steps

    def end(self) -> None:
        """End the present stage."""
        if self._running and self._share:
            self._spent_s += self._elapsed_s
            self._spent_share += self._share
        self._running, self._share = False, 0.0

    @property
    def stage_left_s(self) -> float | None:
        """Seconds that the rest of the present stage takes; None where they are not known."""
        done = self._done_share
        return None if done is None else self._elapsed_s * (1.0 - done) / done

    @property
    def left_s(self) -> float | None:
        """Seconds that all the rest takes; None where they are not known."""
        done = self._done_share if self._share else None
        share = self._spent_share + self._share * (done or 0.0)
        if share == 0.0:
            return None
        pace = (self._spent_s + (0.0 if done is None else self._elapsed_s)) / share
        later = pace * sum(each for _, each in self._plan[self._at + 1 :])
        if done is not None:
            return self._elapsed_s * (1.0 - done) / done + later
        usual_s = pace * self._share
        return later + (max(usual_s - self._elapsed_s, 0.0) if self._running else 0.0)

    @property
    def _elapsed_s(self) -> float:
        return self._clock() - self._begin

    @property
    def _done_share(self) -> float | None:
        if not (self._running and self._total and self._done):
            return None
        return min(self._done / self._total, 1.0)


def duration_text(seconds: float) -> str:
    """Return minutes and seconds, as ``1:50``, and hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
