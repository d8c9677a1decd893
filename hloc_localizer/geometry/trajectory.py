"""A trajectory: poses over time, interpolated at a stamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms


@dataclass(frozen=True)
class Trajectory:
    """Poses ``parent_from_child`` (N, 4, 4) at strictly increasing stamps (N,), nanoseconds."""

    stamps_ns: NDArray[np.int64]
    poses: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.poses.shape != (len(self.stamps_ns), 4, 4):
            raise ValueError(f'{len(self.stamps_ns)} stamps but poses of {self.poses.shape}')
        if np.any(np.diff(self.stamps_ns) <= 0):
            raise ValueError('stamps do not increase strictly')

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def at(self, stamp_ns: int, max_gap_ns: int | None = None) -> NDArray[np.float64] | None:
        """
        Return the pose at a stamp, interpolated between its neighbours.

        :param max_gap_ns: the longest interval that may be interpolated across.
        :returns: (4, 4), or None outside the trajectory or inside a longer gap.
        """
        after = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if after < len(self) and self.stamps_ns[after] == stamp_ns:
            return np.array(self.poses[after])
        if after in (0, len(self)):
            return None
        begin, end = int(self.stamps_ns[after - 1]), int(self.stamps_ns[after])
        if max_gap_ns is not None and end - begin > max_gap_ns:
            return None
        fraction = (stamp_ns - begin) / (end - begin)
        return transforms.interpolate(self.poses[after - 1], self.poses[after], fraction)
