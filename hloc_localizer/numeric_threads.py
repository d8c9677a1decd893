"""How many threads the numeric libraries take for one operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
from threadpoolctl import threadpool_limits


@contextmanager
def numeric_threads(count: int) -> Iterator[None]:
    """
    Let OpenCV and BLAS use so many threads inside; 0 leaves them as they are.

    Workers that each run such an operation want 1: their threads would only wait for each other.
    """
    if count == 0:
        yield
        return
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        with threadpool_limits(limits=count, user_api='blas'):
            yield
    finally:
        cv2.setNumThreads(before)
