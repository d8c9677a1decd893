"""How long each stage of a localization took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Adds up the milliseconds of named stages."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time what runs inside as part of a stage."""
        begin = time.perf_counter()
        yield
        elapsed = (time.perf_counter() - begin) * 1000.0
        self._stages[stage] = self._stages.get(stage, 0.0) + elapsed

    def stage_ms(self) -> dict[str, float]:
        """Return the stages and their total so far."""
        return {**self._stages, 'total': (time.perf_counter() - self._begin) * 1000.0}
