"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from hloc_localizer.progress import Progress, SilentProgress

_LINE_EVERY_S = 10.0


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

    def stage(self, name: str, total: int | None = None) -> None:
        """Finish the bar of the stage before and begin one."""
        from tqdm import tqdm

        self.close()
        # Without a total there is nothing to count and no rate to tell, only the time.
        form = None if total else '{desc}: {elapsed}'
        self._bar = tqdm(
            desc=name,
            total=total,
            file=self._stream,
            leave=True,
            dynamic_ncols=True,
            bar_format=form,
        )

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(steps)

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

    def stage(self, name: str, total: int | None = None) -> None:
        """Say how long the stage before took and begin one."""
        self.close()
        self._name, self._total, self._done = name, total, 0
        self._begin = self._said = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        """Count, and speak when nothing was said for a while."""
        self._done += steps
        now = time.monotonic()
        if now - self._said >= _LINE_EVERY_S:
            self._said = now
            of = '' if self._total is None else f' of {self._total}{self._remaining(now)}'
            self._write(f'{self._name}: {self._done}{of}')

    def _remaining(self, now: float) -> str:
        """Say how long the rest of the stage takes at its pace so far."""
        left = (self._total or 0) - self._done
        if not self._done or left <= 0:
            return ''
        seconds = (now - self._begin) / self._done * left
        return (
            f', about {seconds:.0f} s left'
            if seconds < 90.0
            else (f', about {seconds / 60.0:.0f} min left')
        )

    def note(self, text: str) -> None:
        """Write the line."""
        self._write(text)

    def close(self) -> None:
        """Say how long the last stage took."""
        if self._name:
            count = f'{self._done}, ' if self._done else ''
            self._write(f'{self._name}: {count}{time.monotonic() - self._begin:.1f} s')
            self._name = ''

    def _write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
