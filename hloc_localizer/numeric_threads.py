"""How many threads the numeric libraries take for one operation."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import cv2
from threadpoolctl import ThreadpoolController


class NumericThreads:
    """
    A context in which OpenCV and BLAS use a given number of threads.

    BLAS waits for the slowest of its threads, and spins while it waits: on a busy machine one
    thread too many costs more than it brings.
    """

    def __init__(self, *, opencv: int, blas: int) -> None:
        """
        Remember the numbers; 0 leaves a library as it is.

        :param opencv: threads of OpenCV.
        :param blas: threads of numpy's linear algebra.
        """
        self._opencv = opencv
        self._blas = blas
        self._controller = ThreadpoolController()
        self._opencv_before = 0
        self._limit: Any = None

    @staticmethod
    def for_one_operation(threads: int = 0) -> NumericThreads:
        """Return what suits one operation at a time; 0: OpenCV's choice, BLAS half the cores."""
        return NumericThreads(opencv=threads, blas=threads or max((os.cpu_count() or 1) // 2, 1))

    @staticmethod
    def for_workers(*, parallel: bool) -> NumericThreads:
        """
        Return what suits work on many images: one thread for each of workers that fill all cores.

        :param parallel: whether there are such; work that threads by itself is left as it is.
        """
        return NumericThreads(opencv=1, blas=1) if parallel else NumericThreads(opencv=0, blas=0)

    def __enter__(self) -> NumericThreads:
        if self._opencv:
            self._opencv_before = cv2.getNumThreads()
            cv2.setNumThreads(self._opencv)
        if self._blas:
            self._limit = self._controller.limit(limits=self._blas, user_api='blas')
            self._limit.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._blas:
            self._limit.__exit__(kind, error, traceback)
        if self._opencv:
            cv2.setNumThreads(self._opencv_before)
