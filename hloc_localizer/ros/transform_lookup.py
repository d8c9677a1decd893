"""Transforms at a stamp as matrices, with errors in one line."""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time

from hloc_localizer.errors import InputError
from hloc_localizer.ros import messages, tf
from hloc_localizer.ros.tf_rivals import TfRivals, WatchedBuffer

_POLL_S = 0.002
LARGEST_M = 1e7
"""Further away than any robot of any map; the digits of a pose would be lost, or overflow."""

_TF_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
"""
Of ``/tf``. What is lost is interpolated across; a reliable subscription holds back all that comes
after it until it is sent again, with Fast DDS for up to three seconds. That loses transforms even
on one machine when the same process sends images of more than half a megabyte, as bag players do.
"""

_END_NS = 2**31 * 10**9
"""Seconds of a stamp are a signed integer of 32 bits; before zero is no time either."""


class TransformLookup(Protocol):
    """Where the parts of a node ask for transforms."""

    def lookup(
        self, target: str, source: str, stamp_ns: int, timeout_s: float
    ) -> NDArray[np.float64]:
        """
        Return ``target_from_source`` (4, 4) at a stamp.

        :raises InputError: naming the link, when it is not there after the timeout.
        """
        ...


class TransformTree:
    """
    The TF tree that a node listens to; lookups may wait, so call them from a thread of your own.

    It outlives clocks that jump back when told so with :meth:`clear`.
    """

    def __init__(self, node: Node) -> None:
        """Listen to ``/tf`` and ``/tf_static``."""
        self.rivals = TfRivals()
        self._buffer = WatchedBuffer(self.rivals)
        self._listener = tf.TransformListener(self._buffer, node, qos=_TF_QOS)

    def lookup(
        self, target: str, source: str, stamp_ns: int, timeout_s: float = 0.0
    ) -> NDArray[np.float64]:
        """
        Return ``target_from_source`` (4, 4).

        :param stamp_ns: 0 takes the newest stamp at which it is known.
        :param timeout_s: how long to wait for it, in steady time: a paused ``/clock`` cannot
            make this wait for ever.
        :raises InputError: when it is not known after the timeout, or absurd.
        """
        if not 0 <= stamp_ns < _END_NS:
            raise InputError(f'no transform {target} -> {source}: {stamp_ns} ns is no time')
        deadline = time.monotonic() + timeout_s
        stamp = Time(nanoseconds=stamp_ns)
        while True:
            try:
                found = self._buffer.lookup_transform(target, source, stamp)
                return _bounded(messages.transform_from_message(found.transform), target, source)
            except tf.TransformException as error:
                if time.monotonic() >= deadline:
                    line = ' '.join(str(error).split())
                    raise InputError(f'no transform {target} -> {source}: {line}') from error
            time.sleep(_POLL_S)

    def clear(self) -> None:
        """Forget what moves; time jumped back."""
        self._buffer.clear()

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def _bounded(
    target_from_source: NDArray[np.float64], target: str, source: str
) -> NDArray[np.float64]:
    if not np.all(np.abs(target_from_source[:3, 3]) <= LARGEST_M):
        raise InputError(f'transform {target} -> {source} is longer than {LARGEST_M:.0e} m')
    return target_from_source
