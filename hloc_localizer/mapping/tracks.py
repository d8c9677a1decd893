"""The observations of a reconstruction as arrays, and how well each point is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera

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
    observations = [
        (element.image_id - 1, element.point2D_idx, index)
        for index, point_id in enumerate(point_ids)
        for element in reconstruction.points3D[point_id].track.elements
    ]
    table = np.array(sorted(observations), np.int32).reshape(-1, 3)
    points = np.array([reconstruction.points3D[point_id].xyz for point_id in point_ids])
    return Tracks(points.reshape(-1, 3), table[:, 0], table[:, 1], table[:, 2])


def point_sigmas(
    tracks: Tracks,
    cameras: Sequence[Camera],
    poses: NDArray[np.float64],
    *,
    sigma_px: float = 1.0,
) -> NDArray[np.float32]:
    """
    Return the standard deviation of each point along its least known direction, in metres.

    Each observation knows the point across its ray, to ``sigma_px`` pixels; the information of
    all of them adds up. Errors of the poses are not in it.

    :param cameras: I cameras, one an image.
    :param poses: (I, 4, 4) ``map_from_camera``.
    :returns: (P,).
    """
    rays = tracks.points[tracks.point] - poses[tracks.image, :3, 3]
    distance = np.linalg.norm(rays, axis=1)
    rays /= np.maximum(distance, 1e-9)[:, None]
    focal = np.array([camera.focal_px for camera in cameras])[tracks.image]
    weight = (focal / (sigma_px * np.maximum(distance, 1e-9))) ** 2
    across = (np.eye(3) - rays[:, :, None] * rays[:, None, :]) * weight[:, None, None]
    information = np.zeros((len(tracks.points), 3, 3))
    np.add.at(information, tracks.point, across)
    smallest = np.linalg.eigvalsh(information)[:, 0]
    return np.asarray(1.0 / np.sqrt(np.maximum(smallest, 1e-12)), np.float32)
