"""Which pairs of map images to match: by overlap of their views and by likeness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.options import PairOptions

Pairs = list[tuple[int, int]]

_DEPTHS_M = (1.0, 2.0, 4.0, 8.0, 16.0)
_GRID = (7, 5)
_AT_ONCE = 64
"""Views that points are projected into at once: more do not fit into the caches."""


def pairs_from_poses(
    cameras: Sequence[Camera], map_from_camera: NDArray[np.float64], options: PairOptions
) -> Pairs:
    """
    Pair each image with those whose views overlap its own most.

    The overlap is the share of a grid of pixels, put at several depths since the true one is not
    known yet, that the other image sees; of both directions the smaller counts.

    :param cameras: I cameras, one an image.
    :param map_from_camera: (I, 4, 4).
    """
    return _best_partners(_overlaps(cameras, map_from_camera, options), options.covisible)


def pairs_from_retrieval(
    global_descriptors: NDArray[np.float32],
    map_from_camera: NDArray[np.float64],
    options: PairOptions,
) -> Pairs:
    """Pair each image with those most like it that do not look another way."""
    likeness = _likeness(global_descriptors, map_from_camera, options)
    return _best_partners(likeness, options.retrieved)


def pairs_with_new(
    cameras: Sequence[Camera],
    map_from_camera: NDArray[np.float64],
    global_descriptors: NDArray[np.float32],
    is_new: NDArray[np.bool_],
    options: PairOptions,
    *,
    among_new: bool,
) -> Pairs:
    """
    Pair new images with those of a map, and with each other, by overlap and by likeness.

    Each gets its partners on both sides: the many of its own session must not crowd out the map.

    :param is_new: (I,).
    :param among_new: whether new images are paired with each other too.
    """
    pairs: set[tuple[int, int]] = set()
    for weights, count in (
        (_overlaps(cameras, map_from_camera, options), options.covisible),
        (_likeness(global_descriptors, map_from_camera, options), options.retrieved),
    ):
        for partners in (~is_new, is_new)[: 1 + among_new]:
            chosen = np.where(is_new[:, None] & partners[None, :], weights, 0.0)
            pairs.update(_best_partners(chosen, count))
    return sorted(pairs)


def _overlaps(
    cameras: Sequence[Camera], map_from_camera: NDArray[np.float64], options: PairOptions
) -> NDArray[np.float64]:
    """Return how much each two views overlap (I, I), 0 where it is too little."""
    axes = map_from_camera[:, :3, 2]
    alike = axes @ axes.T >= np.cos(np.radians(options.max_angle_deg))
    overlap = view_overlap(cameras, map_from_camera, np.triu(alike))
    # The smaller of both directions counts, so that most of the others need not be known.
    enough = (overlap > 0.0) & (overlap >= options.min_overlap)
    back = view_overlap(cameras, map_from_camera, enough.T).T
    both = np.where(enough, np.minimum(overlap, back), 0.0)
    both[both < options.min_overlap] = 0.0
    return np.maximum(both, both.T)


def _likeness(
    global_descriptors: NDArray[np.float32],
    map_from_camera: NDArray[np.float64],
    options: PairOptions,
) -> NDArray[np.float64]:
    """Return how alike each two images are (I, I), 0 to 2; 0 where they look another way."""
    similarity = np.asarray(global_descriptors @ global_descriptors.T, np.float64) + 1.0
    axes = map_from_camera[:, :3, 2]
    similarity[axes @ axes.T < np.cos(np.radians(options.max_angle_deg))] = 0.0
    np.fill_diagonal(similarity, 0.0)
    return similarity


def pairs_without_poses(
    global_descriptors: NDArray[np.float32],
    sequences: Sequence[str],
    odom_from_camera: NDArray[np.float64],
    cameras: Sequence[Camera],
    options: PairOptions,
) -> Pairs:
    """
    Pair each image with those that follow, those like it, and those that odometry puts near it.

    Odometry may have drifted: it only adds pairs.

    :param sequences: of each image the name of the stream of images that it is part of, in the
        order of their stamps.
    :param odom_from_camera: (I, 4, 4), NaN where unknown.
    """
    pairs = {*_sequential(sequences, options.sequential)}
    similarity = np.asarray(global_descriptors @ global_descriptors.T, np.float64) + 1.0
    np.fill_diagonal(similarity, 0.0)
    pairs.update(_best_partners(similarity, options.retrieved_without_poses))
    known = np.flatnonzero(np.isfinite(odom_from_camera).all(axis=(1, 2)))
    near = pairs_from_poses(
        [cameras[index] for index in known.tolist()], odom_from_camera[known], options
    )
    pairs.update((int(known[first]), int(known[second])) for first, second in near)
    return sorted(pairs)


def _sequential(sequences: Sequence[str], count: int) -> Pairs:
    members: dict[str, list[int]] = {}
    for index, name in enumerate(sequences):
        members.setdefault(name, []).append(index)
    # Beyond the next ones, a few far ones: they hold the scale through a blurred stretch.
    steps = [*range(1, count + 1), count + count // 2, 2 * count]
    return [
        (indices[start], indices[start + step])
        for indices in members.values()
        for step in steps
        for start in range(len(indices) - step)
    ]


def view_overlap(
    cameras: Sequence[Camera],
    map_from_camera: NDArray[np.float64],
    wanted: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """
    Return the share (I, I) of each image's view that each other image sees.

    :param wanted: (I, I) what to compute, None for all; the rest, and what looks the other way, is
        0.
    """
    axes = map_from_camera[:, :3, 2]
    wanted = axes @ axes.T >= 0.0 if wanted is None else wanted & (axes @ axes.T >= 0.0)
    wanted = wanted & ~np.eye(len(cameras), dtype=bool)
    camera_from_map = transforms.invert(map_from_camera)
    members: dict[Camera, list[int]] = {}
    for index, camera in enumerate(cameras):
        members.setdefault(camera, []).append(index)
    view = {camera: _view_points(camera) for camera in members}
    overlap = np.zeros((len(cameras), len(cameras)))
    for other_camera, indices in members.items():
        for index, camera in enumerate(cameras):
            others = np.array(indices)[wanted[index, indices]]
            points = transforms.apply(map_from_camera[index], view[camera])
            for begin in range(0, len(others), _AT_ONCE):
                some = others[begin : begin + _AT_ONCE]
                in_other = transforms.apply(camera_from_map[some], points)
                seen = other_camera.contains(other_camera.project(in_other.reshape(-1, 3)))
                overlap[index, some] = seen.reshape(len(some), len(points)).mean(axis=1)
    return overlap


def _view_points(camera: Camera) -> NDArray[np.float64]:
    columns = np.linspace(0.05, 0.95, _GRID[0]) * camera.width
    rows = np.linspace(0.05, 0.95, _GRID[1]) * camera.height
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    plane = camera.normalise(pixels)
    plane = plane[np.isfinite(plane).all(axis=1)]
    rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
    return np.concatenate([rays * depth for depth in _DEPTHS_M])


def _best_partners(weights: NDArray[np.float64], count: int) -> Pairs:
    pairs = set()
    for index, row in enumerate(weights):
        for other in np.argsort(-row, kind='stable')[:count]:
            if row[other] > 0.0:
                pairs.add((min(index, int(other)), max(index, int(other))))
    return sorted(pairs)
