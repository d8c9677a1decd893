"""Notices who else broadcasts what this node broadcasts: TF would jump between the two."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from geometry_msgs.msg import TransformStamped

from hloc_localizer.ros import tf

_KEPT = 1000
"""Own transforms that are remembered; they come back within moments."""

_SILENT_S = 5.0
"""After this time a rival is gone."""


class TfRivals:
    """Tells the transforms of this node from others to the same frame that come over ``/tf``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Begin without any.

        :param clock: steady seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._own: deque[tuple[str, int, int]] = deque(maxlen=_KEPT)
        self._children: set[str] = set()
        self._rivals: dict[tuple[str, str], float] = {}

    def watching(
        self, send: Callable[[TransformStamped], None]
    ) -> Callable[[TransformStamped], None]:
        """Return what sends a transform of this node and remembers it."""

        def remember_and_send(transform: TransformStamped) -> None:
            with self._lock:
                self._children.add(transform.child_frame_id)
                self._own.append(_key(transform))
            send(transform)

        return remember_and_send

    def heard(self, transform: TransformStamped) -> None:
        """Take a transform that was heard."""
        if transform.child_frame_id not in self._children:
            return
        with self._lock:
            if _key(transform) not in self._own:
                link = (transform.header.frame_id, transform.child_frame_id)
                self._rivals[link] = self._clock()

    def problem(self) -> str:
        """Return one line on who else broadcasts; empty when nobody has in the last seconds."""
        now = self._clock()
        with self._lock:
            present = [link for link, at in self._rivals.items() if now - at < _SILENT_S]
        return '; '.join(
            f'another node broadcasts {parent} -> {child}, too: a frame has one parent from one '
            'node; stop the other, or set tf_mode'
            for parent, child in present
        )


class WatchedBuffer(tf.Buffer):
    """A buffer that shows what comes over ``/tf``."""

    def __init__(self, rivals: TfRivals) -> None:
        """Begin empty."""
        super().__init__()
        self._rivals = rivals

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Remember a transform that holds at its stamp."""
        self._rivals.heard(transform)
        super().set_transform(transform, authority)


def _key(transform: TransformStamped) -> tuple[str, int, int]:
    stamp = transform.header.stamp
    return (transform.child_frame_id, stamp.sec, stamp.nanosec)
