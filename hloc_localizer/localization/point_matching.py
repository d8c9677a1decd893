"""Matching a query's keypoints to map points: over whole candidates, or near a known pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hloc_localizer.features.local_features import LocalFeatures, NearestNeighbourOptions
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.maps.quantisation import restore_descriptors
from hloc_localizer.maps.runtime import RuntimeMap


@dataclass(frozen=True)
class PointMatches:
    """Matches between query keypoints and map points, each used at most once."""

    keypoint: NDArray[np.intp]
    """(M,) index into the query's keypoints."""
    point: NDArray[np.intp]
    """(M,) index into the map's points."""
    score: NDArray[np.float32]
    """(M,) confidence, larger is better."""

    def __len__(self) -> int:
        return len(self.keypoint)

    def subset(self, mask: NDArray[np.bool_]) -> PointMatches:
        """Return the matches (M,) of a mask."""
        return PointMatches(self.keypoint[mask], self.point[mask], self.score[mask])

    def joined(self, other: PointMatches) -> PointMatches:
        """Return these matches and those of another set whose keypoint and point are still free."""
        free = ~np.isin(other.keypoint, self.keypoint) & ~np.isin(other.point, self.point)
        return PointMatches(
            np.concatenate([self.keypoint, other.keypoint[free]]),
            np.concatenate([self.point, other.point[free]]),
            np.concatenate([self.score, other.score[free]]),
        )


class PointIndex:
    """The points and descriptors that sets of map images see, without repetition."""

    def __init__(self, runtime: RuntimeMap) -> None:
        self._runtime = runtime
        self._variance = runtime.point_covariance[:, [0, 3, 5]].sum(axis=1)
        count = len(runtime.descriptor_point)
        self._first_descriptor = np.searchsorted(
            runtime.descriptor_point, np.arange(len(runtime.points) + 1)
        )
        if count and np.any(np.diff(runtime.descriptor_point) < 0):
            raise ValueError('descriptors are not in the order of their points')

    def points_of(self, images: NDArray[np.intp]) -> NDArray[np.int32]:
        """Return the points seen by any of the images, ascending."""
        seen = np.zeros(len(self._runtime.points), np.bool_)
        offsets = self._runtime.observation_offsets
        for image in images:
            seen[self._runtime.observation_point[offsets[image] : offsets[image + 1]]] = True
        return np.flatnonzero(seen).astype(np.int32)

    def surest_points_of(self, images: NDArray[np.intp], count: int) -> NDArray[np.int32]:
        """Return the points seen by any of the images, ascending; of too many the best known."""
        points = self.points_of(images)
        if len(points) > count:
            points = np.sort(points[np.argpartition(self._variance[points], count)[:count]])
        return points

    def descriptors_seen_by(
        self, images: NDArray[np.intp]
    ) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """Return the descriptors (ascending) by which the images see their points."""
        used = np.zeros(len(self._runtime.descriptors), np.bool_)
        offsets = self._runtime.observation_offsets
        for image in images:
            used[self._runtime.observation_descriptor[offsets[image] : offsets[image + 1]]] = True
        rows = np.flatnonzero(used)
        return self._runtime.descriptor_point[rows], rows

    def descriptors_of(
        self, points: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """Return all descriptors of some points: for each its point, and its row."""
        begin, end = self._first_descriptor[points], self._first_descriptor[points + 1]
        counts = end - begin
        starts = np.repeat(begin - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        return np.repeat(points, counts), starts + np.arange(counts.sum())


def match_points(
    query: LocalFeatures,
    runtime: RuntimeMap,
    index: PointIndex,
    place: NDArray[np.intp],
    options: NearestNeighbourOptions,
    *,
    max_keypoints: int,
) -> PointMatches:
    """
    Match a query to all points of a place in one multiplication.

    The ratio test compares with the second best *point*: the same point seen from elsewhere is no
    rival.

    :param place: a group of map images.
    :param max_keypoints: how many of the query's strongest keypoints take part.
    :returns: mutual matches, the surest first.
    """
    point, rows = index.descriptors_seen_by(place)
    if len(rows) == 0 or len(query) == 0:
        return _no_matches()
    wanted = query.descriptors[:max_keypoints].astype(np.float32, copy=False)
    return _mutual(wanted @ restore_descriptors(runtime.descriptors[rows]).T, point, options)


def _mutual(
    cosines: NDArray[np.float32], point: NDArray[np.int32], options: NearestNeighbourOptions
) -> PointMatches:
    """
    Choose the pairs that are each other's best and stand out.

    :param cosines: (N, R) of keypoints and descriptors.
    :param point: (R,) the points of the descriptors, ascending.
    """
    if len(point) < 2:
        return _no_matches()
    best_column = cosines.argmax(axis=1)
    best = cosines[np.arange(len(cosines)), best_column]
    mutual = cosines.max(axis=0)[best_column] <= best
    kept = np.flatnonzero(mutual & (best >= options.min_similarity))
    kept, ratio = _standing_out(cosines, point, kept, best_column[kept], options.max_ratio)
    surest = np.argsort(ratio, kind='stable')
    kept, ratio = kept[surest], ratio[surest]
    # Two keypoints can still be best for two descriptors of one point: the surer one has it.
    matched = point[best_column[kept]].astype(np.intp)
    _, first = np.unique(matched, return_index=True)
    first.sort()
    return PointMatches(kept[first], matched[first], (1.0 - ratio[first]).astype(np.float32))


def _standing_out(
    cosines: NDArray[np.float32],
    point: NDArray[np.int32],
    keypoint: NDArray[np.intp],
    column: NDArray[np.intp],
    max_ratio: float,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the keypoints whose best point is clear of the second best one, with their ratios."""
    rivals = cosines[keypoint]
    best = rivals[np.arange(len(keypoint)), column]
    begin = np.searchsorted(point, point[column], side='left')
    end = np.searchsorted(point, point[column], side='right')
    for view in range(int((end - begin).max(initial=0))):
        has = np.flatnonzero(begin + view < end)
        rivals[has, begin[has] + view] = -1.0
    second = rivals.max(axis=1, initial=-1.0)
    # Squared distances of unit vectors are 2 - 2 cos.
    ratio = (1.0 - best) / np.maximum(1.0 - second, 1e-6)
    clear = ratio <= max_ratio**2
    return keypoint[clear], np.asarray(ratio[clear], np.float32)


def match_near_pose(
    query: LocalFeatures,
    tree: cKDTree,
    runtime: RuntimeMap,
    index: PointIndex,
    points: NDArray[np.int32],
    camera: Camera,
    map_from_camera: NDArray[np.float64],
    *,
    min_similarity: float,
    radius_px: float,
) -> tuple[PointMatches, NDArray[np.float64]]:
    """
    Match map points to the keypoints near their projections.

    :param tree: the query's keypoints.
    :param points: the points to search.
    :param radius_px: how far from their projections, in the query's own pixels.
    :returns: the matches, and the pixels (V, 2) where points should be visible.
    """
    in_camera = transforms.apply(transforms.invert(map_from_camera), runtime.points[points])
    pixels = camera.project(in_camera)
    inside = camera.contains(pixels, border=2.0)
    points, pixels = points[inside], pixels[inside]
    if len(points) == 0:
        return _no_matches(), pixels
    pairs = cKDTree(pixels).sparse_distance_matrix(tree, radius_px, output_type='ndarray')
    if len(pairs) == 0:
        return _no_matches(), pixels
    slot, keypoint = pairs['i'].astype(np.intp), pairs['j'].astype(np.intp)
    score = _best_cosines(query, runtime, index, points, keypoint, slot)
    return _mutual_pairs(keypoint, slot, score, points, min_similarity), pixels


def _best_cosines(
    query: LocalFeatures,
    runtime: RuntimeMap,
    index: PointIndex,
    points: NDArray[np.int32],
    keypoint: NDArray[np.intp],
    slot: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Return for each pair of a keypoint and a point the best cosine over the descriptors."""
    point_of_row, rows = index.descriptors_of(points)
    described = restore_descriptors(runtime.descriptors[rows])
    slot_of_row = np.searchsorted(points, point_of_row)
    first_row = np.searchsorted(slot_of_row, np.arange(len(points) + 1))
    counts = np.diff(first_row)
    cosine = _cosine_of_pairs(query.descriptors, described, keypoint)
    score = np.full(len(keypoint), -1.0, np.float32)
    for view in range(int(counts.max(initial=0))):
        has = np.flatnonzero(counts[slot] > view)
        score[has] = np.maximum(score[has], cosine(has, first_row[slot[has]] + view))
    return score


def _cosine_of_pairs(
    wanted: NDArray[np.floating], described: NDArray[np.float32], keypoint: NDArray[np.intp]
) -> Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float32]]:
    """
    Return what gives the cosines of some pairs, from their numbers and the rows of their points.

    Where the search radius is so large that many of all pairs are asked for, one multiplication of
    all descriptors costs less than collecting those of each pair.

    :param wanted: (N, D) of all keypoints.
    :param described: (R, D) of the points.
    :param keypoint: (P,) of the pairs.
    """
    everything = len(wanted) * len(described)
    if everything <= min(_COLLECTING * len(keypoint), _MOST_COSINES):
        table = wanted.astype(np.float32, copy=False) @ described.T
        return lambda pair, row: table[keypoint[pair], row]
    own = wanted[keypoint].astype(np.float32, copy=False)
    return lambda pair, row: np.einsum('nd,nd->n', own[pair], described[row])


_COLLECTING = 48
"""What the cosine of a pair by itself costs, in cosines of a multiplication."""

_MOST_COSINES = 1 << 25
"""128 MB."""


def _mutual_pairs(
    keypoint: NDArray[np.intp],
    slot: NDArray[np.intp],
    score: NDArray[np.float32],
    points: NDArray[np.int32],
    min_similarity: float,
) -> PointMatches:
    """Keep the pairs that are the best of their keypoint and the best of their point."""
    similar = np.flatnonzero(score >= min_similarity)
    order = similar[np.argsort(-score[similar], kind='stable')]
    first_of_keypoint = np.zeros(len(order), np.bool_)
    first_of_keypoint[np.unique(keypoint[order], return_index=True)[1]] = True
    first_of_slot = np.zeros(len(order), np.bool_)
    first_of_slot[np.unique(slot[order], return_index=True)[1]] = True
    kept = order[first_of_keypoint & first_of_slot]
    return PointMatches(keypoint[kept], points[slot[kept]].astype(np.intp), score[kept])


def _no_matches() -> PointMatches:
    return PointMatches(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32))
