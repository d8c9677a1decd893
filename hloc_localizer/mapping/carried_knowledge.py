"""What a map knew of its points beyond their rays, such as depth, kept when it is built on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import keypoint_sigma_px, unpacked_symmetric
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.point_knowledge import ray_information
from hloc_localizer.mapping.tracks import Tracks
from hloc_localizer.maps import Map

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """What is known of P points of a map besides their rays."""

    tracks: Tracks
    """Of the map, its images numbered as in the larger one."""
    information: Array
    """(P, 3, 3)."""

    def joined(self, tracks: Tracks, covariance: Array) -> tuple[Tracks, Array]:
        """
        Add it to what new rays and depths tell of the points of a larger map.

        :param covariance: (Q, 3, 3) of the points of these tracks.
        :returns: the tracks with their points moved, and their covariances.
        """
        old = _same_points(self.tracks, tracks)
        known = np.flatnonzero(old >= 0)
        information = np.linalg.inv(covariance[known])
        added = self.information[old[known]]
        pull = np.einsum('pij,pj->pi', added, self.tracks.points[old[known]] - tracks.points[known])
        total = information + added
        points, joined = tracks.points.copy(), covariance.copy()
        points[known] += np.linalg.solve(total, pull[:, :, None])[:, :, 0]
        joined[known] = np.linalg.inv(total)
        return dataclasses.replace(tracks, points=points), joined


def knowledge_of(
    loaded: Map, images: Sequence[MapImage], tracks: Tracks, poses: Array
) -> Knowledge:
    """
    Take apart what a map knows of its points: what is more than its rays tell came from depth.

    :param images: of the map.
    :param tracks: of the map.
    :param poses: (I, 4, 4) ``map_from_camera``.
    """
    runtime = loaded.runtime
    cameras: list[Camera] = [runtime.cameras[image.camera] for image in images]
    error = loaded.manifest.statistics.mean_reprojection_error_px
    by_rays = ray_information(tracks, cameras, poses, sigma_px=keypoint_sigma_px(error))
    covariance = unpacked_symmetric(runtime.point_covariance.astype(np.float64))
    # A point that is known exactly would not let itself be moved by anything.
    covariance = covariance + np.eye(3) * _SMALLEST_VARIANCE
    values, vectors = np.linalg.eigh(np.linalg.inv(covariance) - by_rays)
    values = np.maximum(values, 0.0)
    more = (vectors * values[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    return Knowledge(tracks, more)


_SMALLEST_VARIANCE = 1e-12


def _same_points(old: Tracks, new: Tracks) -> NDArray[np.intp]:
    """Return the old point (Q,) that most observations of each new point were of; -1: none."""
    keys = _keys(old), _keys(new)
    order = np.argsort(keys[0], kind='stable')
    place = np.minimum(np.searchsorted(keys[0][order], keys[1]), max(len(order) - 1, 0))
    same = keys[0][order][place] == keys[1] if len(order) else np.zeros(len(keys[1]), np.bool_)
    found = np.full(len(new.points), -1, np.intp)
    pairs, counts = np.unique(
        np.stack([new.point[same], old.point[order][place[same]]], axis=1),
        axis=0,
        return_counts=True,
    )
    by_count = np.argsort(counts, kind='stable')  # the last one written has the most
    found[pairs[by_count, 0]] = pairs[by_count, 1]
    return found


def _keys(tracks: Tracks) -> NDArray[np.int64]:
    return tracks.image.astype(np.int64) << 32 | tracks.keypoint
