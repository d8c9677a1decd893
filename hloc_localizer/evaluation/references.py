"""Reference poses of images, found by stamp (TUM file) or by image name (pose list)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.tum import read_poses_by_image, read_tum, read_words

Array = NDArray[np.float64]

STAMP_TOLERANCE_NS = 1_000_000


@dataclass(frozen=True)
class References:
    """Poses by stamp or by image name; one of the two is filled."""

    path: Path
    trajectory: Trajectory | None = None
    by_name: Mapping[str, Array] = field(default_factory=dict)

    child: str = 'camera'
    """``camera``: the poses are the camera's; ``base``: they are the robot's, and the source, told
    so by its options, joins them with the camera's mounting."""

    @staticmethod
    def read(path: Path, child: str = 'camera') -> References:
        """
        Read a TUM file, or lines ``image tx ty tz qx qy qz qw``.

        :raises InputError: naming the file and the line.
        """
        first = next((words[0] for _, words in read_words(path)), '')
        if _is_number(first) or not first:
            return References(path, trajectory=read_tum(path), child=child)
        if child != 'camera':
            raise InputError(f"{path}: poses by image name are the camera's; use child camera")
        return References(path, by_name=read_poses_by_image(path))

    def find(self, frame: Frame) -> Array | None:
        """
        Return the (4, 4) ``map_from_camera`` of a frame, or None where there is none.

        Stamps match within 1 ms; names match in full or by their last part.
        """
        if self.trajectory is None:
            name = frame.name
            return self.by_name.get(name, self.by_name.get(PurePosixPath(name).name))
        index = self._nearest(frame.stamp_ns)
        if abs(int(self.trajectory.stamps_ns[index]) - frame.stamp_ns) > STAMP_TOLERANCE_NS:
            return None
        return frame.map_from_camera if self.child == 'base' else self.trajectory.poses[index]

    def nothing_matched(self, stamps_ns: Sequence[int]) -> InputError:
        """Return the error for a recording none of whose frames, by stamps, has a reference."""
        count = len(stamps_ns)
        if self.trajectory is None or not count:
            return InputError(f'{self.path}: holds a pose of none of the {count} frames')
        index = self._nearest(stamps_ns[0])
        away = abs(int(self.trajectory.stamps_ns[index]) - stamps_ns[0]) / 1e9
        return InputError(
            f'{self.path}: no pose within 1 ms of any of the {count} frames; the first frame is '
            f'at {stamps_ns[0] / 1e9:.3f} and the nearest pose {away:.3f} s away; is the file of '
            'this recording?'
        )

    def _nearest(self, stamp_ns: int) -> int:
        assert self.trajectory is not None
        stamps = self.trajectory.stamps_ns
        after = int(np.searchsorted(stamps, stamp_ns))
        around = [index for index in (after - 1, after) if 0 <= index < len(stamps)]
        return min(around, key=lambda index: abs(int(stamps[index]) - stamp_ns))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
