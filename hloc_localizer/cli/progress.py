"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from hloc_localizer.forecast import Forecast, Plan, duration_text
from hloc_localizer.progress import Progress, SilentProgress

_LINE_EVERY_S = 10.0
_SOON_S = 1.0
"""What is left is not worth a word."""


@contextmanager
def command_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """
    Listen to long work for the user, on standard error.

    :param stream: where to write instead.
    """
    stream = sys.stderr if stream is None else stream
    progress: BarProgress | LineProgress
    progress = BarProgress(stream) if stream.isatty() else LineProgress(stream)
    try:
        yield progress
    finally:
        progress.close()


@contextmanager
def tell_what_is_left(output: Path, progress: Progress) -> Iterator[None]:
    """Say after Ctrl-C which stages of a map in the making are kept."""
    from hloc_localizer.maps import unfinished_build

    try:
        yield
    except KeyboardInterrupt:
        if left := unfinished_build(output):
            progress.note(left)
        raise


class BarProgress(SilentProgress):
    """One bar a stage."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None
        self._forecast = Forecast()

    def plan(self, stages: Plan) -> None:
        """Hear what is to come."""
        self._forecast.plan(stages)

    def stage(self, name: str, total: int | None = None) -> None:
        """Finish the bar of the stage before and begin one."""
        from tqdm import tqdm

        self.close()
        self._forecast.stage(name, total)
        # Without a total there is nothing to count and no rate to tell, only the time.
        form = None if total else '{desc}: {elapsed}{postfix}'
        self._bar = tqdm(
            desc=name,
            total=total,
            file=self._stream,
            leave=True,
            dynamic_ncols=True,
            bar_format=form,
        )
        self._tell_left()

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        self._forecast.advance(steps)
        if self._bar is not None:
            self._tell_left()
            self._bar.update(steps)

    def _tell_left(self) -> None:
        left_s = self._forecast.left_s
        if left_s is not None:
            self._bar.set_postfix_str(f'in all {duration_text(left_s)} left', refresh=False)

    def note(self, text: str) -> None:
        """Write the line above the bar."""
        from tqdm import tqdm

        tqdm.write(text, file=self._stream)

    def close(self) -> None:
        """Leave the last bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class LineProgress(SilentProgress):
    """One line when a stage ends, and one now and then while it runs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._name = ''
        self._total: int | None = None
        self._done = 0
        self._begin = self._said = 0.0
        self._forecast = Forecast()

    def plan(self, stages: Plan) -> None:
        """Hear what is to come."""
        self._forecast.plan(stages)

    def stage(self, name: str, total: int | None = None) -> None:
        """Say how long the stage before took and begin one."""
        self.close()
        self._name, self._total, self._done = name, total, 0
        self._begin = self._said = time.monotonic()
        self._forecast.stage(name, total)

    def advance(self, steps: int = 1) -> None:
        """Count, and speak when nothing was said for a while."""
        self._done += steps
        self._forecast.advance(steps)
        now = time.monotonic()
        if now - self._said >= _LINE_EVERY_S:
            self._said = now
            of = '' if self._total is None else f' of {self._total}'
            self._write(f'{self._name}: {self._done}{of}{self._remaining()}')

    def _remaining(self) -> str:
        """Say how long the rest of the stage takes at its pace so far, and the rest of all."""
        stage_s, all_s = self._forecast.stage_left_s, self._forecast.left_s
        text = f', about {duration_text(stage_s)} left' if stage_s else ''
        return f'{text}, in all about {duration_text(all_s)}' if all_s else text

    def note(self, text: str) -> None:
        """Write the line."""
        self._write(text)

    def close(self) -> None:
        """Say how long the last stage took."""
        if self._name:
            count = f'{self._done}, ' if self._done else ''
            took = f'{self._name}: {count}{time.monotonic() - self._begin:.1f} s'
            self._forecast.end()
            left_s = self._forecast.left_s
            if left_s is not None and left_s >= _SOON_S:
                took += f', in all about {duration_text(left_s)} left'
            self._write(took)
            self._name = ''

    def _write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
