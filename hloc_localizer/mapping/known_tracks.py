"""What a map that exists knows: its images with their features, its tracks, its matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hloc_localizer.errors import MapError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.mapping.map_images import each_features_of, stamps_of
from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.tracks import Tracks
from hloc_localizer.maps import Map
from hloc_localizer.maps.quantisation import restore_descriptors

_FARTHEST_PX = 0.01


def images_of(loaded: Map) -> Iterator[MapImage]:
    """
    Yield the images of a map at the poses that it has them at.

    Their colours are not known; they are black.

    :raises MapError: when the map has no features.
    """
    runtime = loaded.runtime
    stamps = stamps_of(runtime.image_names)
    for index, features in enumerate(each_features_of(loaded)):
        camera = int(runtime.image_camera[index])
        yield MapImage(
            name=runtime.image_names[index],
            stamp_ns=int(stamps[index]),
            camera=camera,
            map_from_camera=runtime.map_from_camera[index],
            features=features,
            plane=runtime.cameras[camera].normalise(features.keypoints),
            colors=np.zeros((len(features), 3), np.uint8),
        )


def tracks_of_map(loaded: Map, features: Sequence[LocalFeatures]) -> Tracks:
    """
    Return which keypoint of which image observes which point of the map.

    :param features: of the I images.
    :raises MapError: when features and observations do not belong together.
    """
    runtime = loaded.runtime
    keypoint = np.empty(len(runtime.observation_point), np.int32)
    for index, local in enumerate(features):
        own = slice(*runtime.observation_offsets[index : index + 2])
        keypoint[own] = _keypoints_at(
            runtime.observation_keypoint[own],
            restore_descriptors(runtime.descriptors[runtime.observation_descriptor[own]]),
            local,
            f"{loaded.path}: the features of '{runtime.image_names[index]}'",
        )
    image = np.repeat(np.arange(len(features)), np.diff(runtime.observation_offsets))
    order = np.lexsort((keypoint, image))
    return Tracks(
        runtime.points.astype(np.float64),
        image[order].astype(np.int32),
        keypoint[order],
        runtime.observation_point[order].astype(np.int32),
    )


def _keypoints_at(
    pixels: NDArray[np.float32],
    descriptors: NDArray[np.float32],
    features: LocalFeatures,
    what: str,
) -> NDArray[np.int32]:
    """Return the keypoint at each pixel; of several at one, that of the likest descriptor."""
    if len(pixels) == 0:
        return np.zeros(0, np.int32)
    if len(features) == 0:
        raise MapError(f'{what} are not those it was built from; copy or build the map again')
    order = np.lexsort((features.keypoints[:, 1], features.keypoints[:, 0]))
    columns = features.keypoints[order, 0]
    begin = np.searchsorted(columns, pixels[:, 0] - _FARTHEST_PX)
    end = np.searchsorted(columns, pixels[:, 0] + _FARTHEST_PX)
    found = np.empty(len(pixels), np.int32)
    for number, pixel in enumerate(pixels):
        near = order[begin[number] : end[number]]
        near = near[np.abs(features.keypoints[near, 1] - pixel[1]) <= _FARTHEST_PX]
        if len(near) == 0:
            raise MapError(f'{what} are not those it was built from; copy or build the map again')
        if len(near) > 1:
            likeness = features.descriptors[near].astype(np.float32) @ descriptors[number]
            near = near[[int(np.argmax(likeness))]]
        found[number] = near[0]
    return found


def matches_of_tracks(tracks: Tracks) -> PairMatches:
    """Return the matches that the tracks are made of: each two views of a point are one."""
    order = np.lexsort((tracks.image, tracks.point))
    lengths = np.bincount(tracks.point, minlength=len(tracks.points))
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    firsts, seconds = [], []
    for length in np.unique(lengths[lengths > 1]).tolist():
        members = order[starts[lengths == length][:, None] + np.arange(length)]
        one, other = np.triu_indices(length, 1)
        firsts.append(members[:, one].ravel())
        seconds.append(members[:, other].ravel())
    if not firsts:
        return {}
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    apart = tracks.image[first] < tracks.image[second]
    first, second = first[apart], second[apart]
    order = np.lexsort((tracks.image[second], tracks.image[first]))
    first, second = first[order], second[order]
    pairs = np.stack([tracks.image[first], tracks.image[second]], axis=1)
    matches = np.stack([tracks.keypoint[first], tracks.keypoint[second]], axis=1).astype(np.int32)
    begins = np.flatnonzero(np.any(np.diff(pairs, axis=0) != 0, axis=1)) + 1
    heads = pairs[np.concatenate([[0], begins])].tolist()
    parts = np.split(matches, begins)
    return {(one, other): part for (one, other), part in zip(heads, parts, strict=True)}


def color_keypoints(
    images: Sequence[MapImage], tracks: Tracks, colors: NDArray[np.uint8]
) -> list[NDArray[np.uint8]]:
    """
    Return the colours (N, 3) of the keypoints of images, those of the points that they see.

    :param tracks: of these images.
    :param colors: (P, 3) of the points.
    """
    painted = [np.array(image.colors) for image in images]
    ends = np.searchsorted(tracks.image, np.arange(len(images) + 1))
    for index, image in enumerate(painted):
        own = slice(ends[index], ends[index + 1])
        image[tracks.keypoint[own]] = colors[tracks.point[own]]
    return painted


def colors_of_points(images: Sequence[MapImage], tracks: Tracks) -> NDArray[np.uint8]:
    """
    Return the mean colour (P, 3) of each point, where only some keypoints have a known one.

    Black keypoints are unknown ones. A point without any known takes the colour of the nearest.
    """
    ends = np.searchsorted(tracks.image, np.arange(len(images) + 1))
    colors = np.concatenate(
        [
            image.colors[tracks.keypoint[ends[index] : ends[index + 1]]]
            for index, image in enumerate(images)
        ]
    ).astype(np.float64)
    known = np.any(colors > 0, axis=1)
    count = np.bincount(tracks.point, known, minlength=len(tracks.points))
    sums = [np.bincount(tracks.point, each, minlength=len(tracks.points)) for each in colors.T]
    found = np.stack(sums, axis=1) / np.maximum(count, 1.0)[:, None]
    unknown, told = np.flatnonzero(count == 0), np.flatnonzero(count)
    if len(unknown) and len(told):
        nearest = cKDTree(tracks.points[told]).query(tracks.points[unknown])[1]
        found[unknown] = found[told[nearest]]
    return np.asarray(np.round(found), np.uint8)
