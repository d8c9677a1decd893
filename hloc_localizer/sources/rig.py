"""Cameras that are mounted together: where each is on the rig."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.sources.tf_tree import TfError, TfTree

SIMULTANEOUS_NS = 2_000_000
"""
Images of a rig whose stamps differ by no more are of one moment.

At 1 m/s the rig moves 2 mm meanwhile; cameras that are triggered together differ by less.
"""

_SAME_M, _SAME_RAD = 0.005, np.radians(0.3)


@dataclass(frozen=True)
class Rig:
    """Several cameras that move as one; frames of one stamp are of one moment."""

    rig_from_camera: Mapping[str, NDArray[np.float64]]
    """(4, 4) of each camera's optical frame, by camera name, metres; identity for the first."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras; the first one is the reference."""
        return tuple(self.rig_from_camera)

    def is_close_to(self, other: Rig) -> bool:
        """Tell whether another rig has the same cameras, mounted within 5 mm and 0.3 degrees."""
        if set(other.cameras) != set(self.cameras):
            return False
        mine, theirs = (
            np.stack([each[name] for name in self.cameras])
            for each in (self.rig_from_camera, other.rig_from_camera)
        )
        moved, turned = transforms.pose_distance(
            transforms.invert(mine[0]) @ mine, transforms.invert(theirs[0]) @ theirs
        )
        return bool(np.all(moved <= _SAME_M) and np.all(turned <= _SAME_RAD))


def find_rig(tree: TfTree, frames: Mapping[str, str]) -> tuple[Rig | None, str]:
    """
    Find how cameras are mounted from the static transforms of a recording.

    :param frames: TF frame of each camera, by camera name; the first one is the reference.
    :returns: the rig, None for a single camera or where it is not known; and why (or empty).
    """
    if len(frames) < 2:
        return None, ''
    (reference, reference_frame), *others = frames.items()
    rig_from_camera = {reference: np.eye(4)}
    for name, frame in others:
        try:
            if tree.latest_stamp(reference_frame, frame) is not None:
                return None, _problem(reference, name, 'it changes with time')
            rig_from_camera[name] = tree.lookup(reference_frame, frame, 0)
        except TfError as error:
            return None, _problem(reference, name, str(error))
    return Rig(rig_from_camera), ''


def _problem(first: str, second: str, reason: str) -> str:
    return (
        f"it is not known how the cameras '{first}' and '{second}' are mounted: {reason}; record "
        '/tf_static, or choose one camera with --set source.image_topic=TOPIC'
    )
