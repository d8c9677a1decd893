"""How well each point is known, in every direction: by its rays, and by depth images if any."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.tracks import Tracks

Array = NDArray[np.float64]

_LARGEST_SIGMA_M = 1000.0
"""Of a point of which nothing is known."""
_DEPTH_SIGMA = 0.03
"""Of depth images, relative to the depth: what well triangulated points show of a time-of-flight
sensor."""
_INDEPENDENT_DEPTHS = 2
"""All depths of a point together count as so many: the errors of a sensor's views are alike."""
_LARGEST_DISAGREEMENT = 5.0
"""In standard deviations; beyond it depth and rays saw different things, such as a pane and what
lies behind it."""


def know_points(
    tracks: Tracks,
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    poses: Array,
    *,
    sigma_px: float,
) -> tuple[Tracks, Array]:
    """
    Collect what rays and depths tell of each point; depth moves the points that rays leave open.

    :param images: with the depth at their keypoints where there is one.
    :param cameras: of the map, by :attr:`MapImage.camera`.
    :param poses: (I, 4, 4) ``map_from_camera``.
    :param sigma_px: standard deviation of a keypoint per axis.
    :returns: the tracks with their points where they are now known to be, and the covariances
        (P, 3, 3) of the points in square metres; errors of the poses are not in them.
    """
    seen_by = [cameras[image.camera] for image in images]
    information = ray_information(tracks, seen_by, poses, sigma_px=sigma_px)
    if any(image.depths is not None for image in images):
        by_depth, pull = _depth_information(tracks, _depths(tracks, images), poses, information)
        information = information + by_depth
        moves = np.linalg.solve(information, pull[:, :, None])[:, :, 0]
        tracks = dataclasses.replace(tracks, points=tracks.points + moves)
    return tracks, np.asarray(np.linalg.inv(information))


def ray_information(
    tracks: Tracks, cameras: Sequence[Camera], poses: Array, *, sigma_px: float
) -> Array:
    """
    Return the information (P, 3, 3) of the rays to each point.

    Each observation knows the point across its ray, to ``sigma_px`` pixels; all of them add up.

    :param cameras: I cameras, one an image.
    """
    rays = tracks.points[tracks.point] - poses[tracks.image, :3, 3]
    distance = np.maximum(np.linalg.norm(rays, axis=1), 1e-9)
    rays /= distance[:, None]
    focal = np.array([camera.focal_px for camera in cameras])[tracks.image]
    weight = (focal / (sigma_px * distance)) ** 2
    across = (np.eye(3) - rays[:, :, None] * rays[:, None, :]) * weight[:, None, None]
    return _summed(across, tracks) + np.eye(3) / _LARGEST_SIGMA_M**2


def _depth_information(
    tracks: Tracks, depths: Array, poses: Array, information: Array
) -> tuple[Array, Array]:
    """
    Return the information of the depths (P, 3, 3), and what it pulls the points by (P, 3).

    :param depths: (O,) metres along the optical axis; NaN where unknown.
    """
    axes = poses[tracks.image, :3, 2]
    offsets = tracks.points[tracks.point] - poses[tracks.image, :3, 3]
    missing = depths - np.sum(offsets * axes, axis=1)
    sigma = _DEPTH_SIGMA * depths
    by_rays = np.linalg.inv(information)[tracks.point]
    variance = sigma**2 + np.einsum('oi,oij,oj->o', axes, by_rays, axes)
    with np.errstate(invalid='ignore'):
        agrees = missing**2 <= _LARGEST_DISAGREEMENT**2 * variance
    count = np.bincount(tracks.point[agrees], minlength=len(tracks.points))[tracks.point]
    share = np.minimum(_INDEPENDENT_DEPTHS / np.maximum(count, 1), 1.0)
    weight = np.where(agrees, share / np.where(agrees, sigma, 1.0) ** 2, 0.0)
    pulled = axes * (weight * np.where(agrees, missing, 0.0))[:, None]
    along = axes[:, :, None] * axes[:, None, :] * weight[:, None, None]
    return _summed(along, tracks), _summed(pulled, tracks)


def _summed(values: Array, tracks: Tracks) -> Array:
    """Add up values (O, ...) of the observations of each point."""
    flat = values.reshape(len(values), -1)
    count = len(tracks.points)
    sums = [np.bincount(tracks.point, column, minlength=count) for column in flat.T]
    return np.stack(sums, axis=1).reshape(count, *values.shape[1:]).astype(np.float64)


def _depths(tracks: Tracks, images: Sequence[MapImage]) -> Array:
    ends = np.searchsorted(tracks.image, np.arange(len(images) + 1))
    depths = np.full(len(tracks.point), np.nan)
    for index, image in enumerate(images):
        own = slice(ends[index], ends[index + 1])
        if image.depths is not None:
            depths[own] = image.depths[tracks.keypoint[own]]
    return depths
