"""A queue of one place: the newest item waits, older ones are dropped and counted."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

_ItemT = TypeVar('_ItemT')


class LatestFrame(Generic[_ItemT]):
    """
    Hand the newest item from one thread to another.

    A consumer slower than its producer therefore always works on the newest item, and the delay
    it adds is never longer than one item's work.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: _ItemT | None = None
        self._dropped = 0
        self._closed = False

    @property
    def dropped(self) -> int:
        """How many items were replaced by a newer one before anybody took them."""
        with self._condition:
            return self._dropped

    def put(self, item: _ItemT) -> None:
        """Make this the waiting item; the one that waited before is dropped."""
        with self._condition:
            if self._closed:
                return
            self._dropped += self._item is not None
            self._item = item
            self._condition.notify()

    def get(self, timeout_s: float | None = None) -> _ItemT | None:
        """Take the waiting item, waiting for one; None after the timeout or when closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item

    def clear(self) -> None:
        """Forget the waiting item without counting it as dropped."""
        with self._condition:
            self._item = None

    def close(self) -> None:
        """Let every waiting and future :meth:`get` return None at once."""
        with self._condition:
            self._closed = True
            self._item = None
            self._condition.notify_all()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        with self._condition:
            return self._closed
