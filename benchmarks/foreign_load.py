"""How much of the machine other processes had: a late answer may be theirs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

_IDLE = (3, 4)
"""Columns of ``/proc/stat``: idle, and waiting for a disk."""

_COLUMNS = 8
"""Those after it count guests, whose time is in the others already."""


class ForeignLoad:
    """Counts the processor time from its making on that does not belong to some processes."""

    def __init__(self, own: Sequence[int]) -> None:
        """
        Begin to count.

        :param own: process ids.
        """
        self._own = own
        self._begin, self._used = time.monotonic(), self._foreign_s()

    def share(self) -> float:
        """Return which share of all cores the others had since then, a hypervisor among them."""
        seconds = (time.monotonic() - self._begin) * (os.cpu_count() or 1)
        return (self._foreign_s() - self._used) / seconds

    def _foreign_s(self) -> float:
        return _busy_s() - sum(_used_s(pid) for pid in self._own)


def _busy_s() -> float:
    """Return the seconds that all cores worked for anybody."""
    ticks = [int(text) for text in Path('/proc/stat').read_text().split('\n', 1)[0].split()[1:]]
    busy = sum(count for at, count in enumerate(ticks[:_COLUMNS]) if at not in _IDLE)
    return busy / os.sysconf('SC_CLK_TCK')


def _used_s(pid: int) -> float:
    """Return the seconds that a process worked, all of its threads."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
