"""The observations of a reconstruction as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # maps are opened on machines that have no pycolmap
    import pycolmap


@dataclass(frozen=True)
class Tracks:
    """P points and their O observations, sorted by image, then by keypoint."""

    points: NDArray[np.float64]
    """(P, 3)."""
    image: NDArray[np.int32]
    """(O,) index of the observing image."""
    keypoint: NDArray[np.int32]
    """(O,) index of the keypoint in its image."""
    point: NDArray[np.int32]
    """(O,) index of the point."""


def tracks_of(reconstruction: pycolmap.Reconstruction) -> Tracks:
    """Collect the tracks of a reconstruction whose image ``i`` has the id ``i + 1``."""
    point_ids = sorted(reconstruction.points3D)
    # Numbers straight into an array: a list of tuples would take ten times their memory.
    numbers = (
        number
        for index, point_id in enumerate(point_ids)
        for element in reconstruction.points3D[point_id].track.elements
        for number in (element.image_id - 1, element.point2D_idx, index)
    )
    table = np.fromiter(numbers, np.int32).reshape(-1, 3)
    table = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]
    points = np.array([reconstruction.points3D[point_id].xyz for point_id in point_ids])
    return Tracks(points.reshape(-1, 3), *(np.ascontiguousarray(column) for column in table.T))


def move_points(reconstruction: pycolmap.Reconstruction, tracks: Tracks) -> None:
    """Put the points of a reconstruction where those of its tracks are."""
    for point_id, xyz in zip(sorted(reconstruction.points3D), tracks.points, strict=True):
        reconstruction.points3D[point_id].xyz = xyz
    reconstruction.update_point_3d_errors()
