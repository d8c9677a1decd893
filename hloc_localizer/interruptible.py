"""A process that signals interrupt once: cleaning up is not interrupted again."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """
    Let the first SIGINT or SIGTERM raise KeyboardInterrupt in the main thread.

    Later ones are ignored until the context is left: a terminal and ``ros2 launch`` both send
    Ctrl-C to a node, and what it ends would be left half ended. Main thread only.

    :raises KeyboardInterrupt: in the context, at the first signal.
    """
    told = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
