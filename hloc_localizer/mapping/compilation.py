"""From a reconstruction to the file that the localizer reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import packed_symmetric
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.options import CompilationOptions
from hloc_localizer.mapping.tracks import Tracks
from hloc_localizer.maps.quantisation import quantise_descriptors
from hloc_localizer.maps.runtime import RuntimeMap


def compile_map(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    poses: NDArray[np.float64],
    tracks: Tracks,
    point_covariance: NDArray[np.float64],
    *,
    global_descriptors: NDArray[np.float32],
    retrieval_arrays: Mapping[str, NDArray[Any]],
    options: CompilationOptions,
) -> RuntimeMap:
    """
    Arrange a reconstruction for localizing.

    :param images: the I images, with their features.
    :param poses: (I, 4, 4) refined ``map_from_camera``.
    :param point_covariance: (P, 3, 3) of the points, square metres.
    :param global_descriptors: (I, G).
    """
    descriptors, descriptor_point, observation_descriptor = _share_descriptors(
        images, tracks, options
    )
    covisible_offsets, covisible_image, covisible_count = covisibility(tracks, len(images))
    return RuntimeMap(
        image_names=tuple(image.name for image in images),
        cameras=tuple(cameras),
        image_camera=np.array([image.camera for image in images], np.int32),
        map_from_camera=poses,
        points=tracks.points.astype(np.float32),
        point_covariance=packed_symmetric(point_covariance).astype(np.float32),
        point_colors=point_colors(images, tracks),
        observation_offsets=np.searchsorted(tracks.image, np.arange(len(images) + 1)),
        observation_point=tracks.point,
        observation_keypoint=_observed_keypoints(images, tracks),
        observation_descriptor=observation_descriptor,
        descriptors=descriptors,
        descriptor_point=descriptor_point,
        covisible_offsets=covisible_offsets,
        covisible_image=covisible_image,
        covisible_count=covisible_count,
        global_descriptors=global_descriptors.astype(np.float16),
        retrieval_arrays=retrieval_arrays,
    )


def covisibility(
    tracks: Tracks, images: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Return offsets (I + 1,), the covisible images and how many points they share, most first."""
    sees = sparse.csr_matrix(
        (np.ones(len(tracks.point), np.int32), (tracks.image, tracks.point)),
        shape=(images, len(tracks.points)),
    )
    shared = sparse.csr_matrix(sees @ sees.T)
    shared.setdiag(0)
    shared.eliminate_zeros()
    rows = np.repeat(np.arange(images), np.diff(shared.indptr))
    order = np.lexsort((shared.indices, -shared.data, rows))
    return (
        shared.indptr.astype(np.int64),
        shared.indices[order].astype(np.int32),
        shared.data[order].astype(np.int32),
    )


def _observed_keypoints(images: Sequence[MapImage], tracks: Tracks) -> NDArray[np.float32]:
    """Return the keypoint (O, 2) of each observation."""
    ends = np.searchsorted(tracks.image, np.arange(len(images) + 1))
    parts = [
        image.features.keypoints[tracks.keypoint[ends[index] : ends[index + 1]]]
        for index, image in enumerate(images)
    ]
    return np.concatenate(parts).astype(np.float32)


def _share_descriptors(
    images: Sequence[MapImage], tracks: Tracks, options: CompilationOptions
) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]:
    """
    Choose few descriptors for each point such that every observation is near one of them.

    :returns: stored descriptors (M, D) in the order of their points, the point of each (M,), and
        the descriptor that stands for each observation (O,).
    """
    order = np.argsort(tracks.point, kind='stable')
    starts = np.searchsorted(tracks.point[order], np.arange(len(tracks.points) + 1))
    histograms = all(np.all(image.features.descriptors >= 0.0) for image in images)
    stored: list[NDArray[Any]] = []
    points: list[NDArray[np.int32]] = []
    stands_for = np.empty(len(tracks.point), np.int32)
    total = 0
    for first, last in _stretches(starts):
        members = order[starts[first] : starts[last]]
        observed = _descriptors_of(images, tracks, members)
        chosen: list[int] = []
        for begin, end in itertools.pairwise(starts[first : last + 1] - starts[first]):
            picks, nearest = _cover(observed[begin:end], options)
            stands_for[members[begin:end]] = total + len(chosen) + nearest
            chosen += [int(begin) + pick for pick in picks]
        stored.append(quantise_descriptors(observed[chosen], histograms=histograms))
        points.append(tracks.point[members[chosen]])
        total += len(chosen)
    return np.concatenate(stored), np.concatenate(points), stands_for


_OBSERVATIONS_AT_ONCE = 1 << 16


def _stretches(starts: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """
    Split points into stretches of so many observations that their descriptors may be held.

    :param starts: (P + 1,) where the observations of each point begin.
    """
    first, count = 0, len(starts) - 1
    while first < count or first == 0:
        last = int(np.searchsorted(starts, starts[first] + _OBSERVATIONS_AT_ONCE, side='right')) - 1
        last = min(max(last, first + 1), count)
        yield first, last
        first = max(last, 1)


def _descriptors_of(
    images: Sequence[MapImage], tracks: Tracks, observations: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Read the descriptors (N, D) of some observations, image by image."""
    size = images[0].features.descriptors.shape[1]
    found = np.empty((len(observations), size), np.float32)
    order = np.argsort(tracks.image[observations], kind='stable')
    seen_by, begins = np.unique(tracks.image[observations[order]], return_index=True)
    for image, rows in zip(seen_by.tolist(), np.split(order, begins[1:]), strict=True):
        keypoints = tracks.keypoint[observations[rows]]
        found[rows] = images[image].features.descriptors[keypoints]
    return found


def _cover(
    descriptors: NDArray[np.float32], options: CompilationOptions
) -> tuple[list[int], NDArray[np.intp]]:
    """Pick the most central descriptor, then the farthest from those picked, until all are near."""
    cosines = descriptors @ descriptors.T
    picks = [int(np.argmax(cosines.sum(axis=1)))]
    near = 1.0 - 0.5 * options.min_descriptor_distance**2
    while len(picks) < options.max_descriptors_per_point:
        covered = cosines[:, picks].max(axis=1)
        farthest = int(np.argmin(covered))
        # By rounding, a descriptor's cosine with itself may lie below 1.
        if covered[farthest] >= near or farthest in picks:
            break
        picks.append(farthest)
    return picks, np.argmax(cosines[:, picks], axis=1)


def point_colors(images: Sequence[MapImage], tracks: Tracks) -> NDArray[np.uint8]:
    """Return the mean colour (P, 3) of each point in the images that see it."""
    ends = np.searchsorted(tracks.image, np.arange(len(images) + 1))
    colors = np.concatenate(
        [
            image.colors[tracks.keypoint[ends[index] : ends[index + 1]]]
            for index, image in enumerate(images)
        ]
    )
    sums = np.zeros((len(tracks.points), 3))
    np.add.at(sums, tracks.point, colors)
    counts = np.bincount(tracks.point, minlength=len(tracks.points))
    return np.asarray(np.round(sums / np.maximum(counts, 1)[:, None]), np.uint8)
