"""Keeps refused and odd frames as bundles, few enough for any disk."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.localization.bundle import Bundle, write_bundle
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.parameters import checked_path

_PERIOD_S = 1.0
"""Of each reason at most one frame in this time: failures come in rows and are much alike."""

_ODD = 'odd'
_ODD_M, _ODD_DEG = 1.0, 20.0
"""A pose this far from the prior that it was found with is odd."""

_NAME = re.compile(r'frame_\d{19}_[a-z_]+')


class FailureRecorder:
    """
    Writes bundles into a folder; when there are too many or they are too large the oldest leave.

    Only folders with the names that it gives are counted and removed.
    """

    def __init__(
        self,
        *,
        folder: str,
        most: int,
        most_mb: float,
        map_path: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Prepare the folder.

        :param most: how many bundles are kept.
        :param most_mb: how many megabytes they may take.
        :param map_path: the map that is localized in.
        :raises InputError: when bundles cannot be written there.
        """
        self._folder = checked_path(folder, 'record_failures')
        self._most = most
        self._most_bytes = round(most_mb * 1e6)
        self._map_path = map_path
        self._clock = clock
        self._written: dict[str, float] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise InputError(f"parameter 'record_failures': {folder!r}: {error}") from error
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise InputError(f"parameter 'record_failures': {folder!r} may not be written to")

    def record(self, result: FrameResult) -> Path | None:
        """
        Keep a frame if it was refused or is odd, and return its folder.

        :raises OSError: when the disk is full or the folder has gone.
        """
        kind = _kind(result)
        if not kind or result.recorded is None:
            return None
        now = self._clock()
        if now < self._written.get(kind, -_PERIOD_S) + _PERIOD_S:
            return None
        self._written[kind] = now
        path = self._folder / f'frame_{result.stamp_ns:019d}_{kind}'
        if path.exists():
            return None  # a recording that loops
        write_bundle(
            path,
            Bundle(
                moment=result.recorded,
                reason=result.reason.value,
                detail=result.detail,
                map_from_body=result.measured,
                map_path=self._map_path,
                images=result.images,
                earlier=result.earlier or (),
                whole=result.earlier is not None,
            ),
        )
        self._forget_oldest()
        return path

    def _forget_oldest(self) -> None:
        paths = [p for p in self._folder.iterdir() if _NAME.fullmatch(p.name) and p.is_dir()]
        paths.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        total = 0
        for index, path in enumerate(paths):
            total += sum(file.stat().st_size for file in path.iterdir())
            if index >= self._most or total > self._most_bytes:
                shutil.rmtree(path, ignore_errors=True)


def failure_recorder(options: LocalizerNodeOptions, map_path: str) -> FailureRecorder | None:
    """Return what keeps failures, if the parameters ask for it."""
    if not options.record_failures:
        return None
    return FailureRecorder(
        folder=options.record_failures,
        most=options.record_failures_most,
        most_mb=options.record_failures_mb,
        map_path=map_path,
    )


def _kind(result: FrameResult) -> str:
    """Return the reason as a part of a file name; empty for a frame that is as it should be."""
    if not result.localized or result.bridged:
        return result.reason.value.replace(' ', '_').replace("'", '')
    prior = None if result.recorded is None else result.recorded.prior
    if result.measured is None or prior is None:
        return ''
    metres, radians = transforms.pose_distance(prior, result.measured)
    return _ODD if metres > _ODD_M or np.degrees(radians) > _ODD_DEG else ''
