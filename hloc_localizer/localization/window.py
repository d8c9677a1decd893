"""The window: the last seconds of frames, tied by odometry, solved as one generalized camera."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.pose_chain import Tie
from hloc_localizer.localization.observation import Observation
from hloc_localizer.localization.options import WindowOptions

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MountedObservation:
    """What one camera of the rig saw, and where it is mounted."""

    observation: Observation
    rig_from_camera: Array = field(default_factory=lambda: np.eye(4))


@dataclass(frozen=True)
class Moment:
    """What all cameras saw at one time, and where odometry says the rig was."""

    stamp_ns: int
    odom_from_rig: Array
    """(4, 4) in the drifting frame of the odometry."""
    mounted: tuple[MountedObservation, ...]


class Window:
    """The last moments; older ones leave by themselves."""

    def __init__(self, options: WindowOptions) -> None:
        self._options = options
        self._moments: deque[Moment] = deque()

    def add(self, moment: Moment) -> None:
        """
        Take in a moment.

        One that is older than the newest, as when a recording starts anew, empties the window
        first; one right after the newest, when the robot hardly moved, replaces it.
        """
        options = self._options
        moments = self._moments
        if moments and moment.stamp_ns <= moments[-1].stamp_ns:
            moments.clear()
        if len(moments) >= 2 and self._hardly_moved(moments[-2], moments[-1]):
            moments.pop()
        moments.append(moment)
        oldest = moment.stamp_ns - int(options.duration_s * 1e9)
        while moments[0].stamp_ns < oldest or len(moments) > options.max_moments:
            moments.popleft()

    def _hardly_moved(self, older: Moment, newer: Moment) -> bool:
        distance, angle = transforms.pose_distance(older.odom_from_rig, newer.odom_from_rig)
        still = distance < self._options.min_translation_m
        return bool(still and angle < np.radians(self._options.min_rotation_deg))

    def clear(self) -> None:
        """Forget everything, as after the odometry jumped."""
        self._moments.clear()

    def cut(self, oldest: int) -> None:
        """Forget the oldest moments."""
        for _ in range(min(oldest, len(self._moments))):
            self._moments.popleft()

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments, oldest first."""
        return tuple(self._moments)

    def ties(self) -> list[Tie]:
        """Return what odometry says of each two successive moments, and how surely."""
        moments = self.moments
        return [tie_between(older, newer, self._options) for older, newer in pairwise(moments)]


def tie_between(older: Moment, newer: Moment, options: WindowOptions) -> Tie:
    """Return what odometry says of two moments; the uncertainty grows with the way."""
    older_from_newer = transforms.invert(older.odom_from_rig) @ newer.odom_from_rig
    way = float(np.linalg.norm(older_from_newer[:3, 3]))
    turn = float(transforms.rotation_angle(older_from_newer[:3, :3]))
    return Tie(
        older_from_newer,
        position_sigma_m=options.position_floor_m + options.position_drift * way,
        rotation_sigma=float(np.radians(options.rotation_floor_deg))
        + options.rotation_drift * turn
        + np.radians(options.rotation_drift_deg_per_m) * way,
    )
