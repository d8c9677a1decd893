"""Matching a query to the places that retrieval found, as the map's front end matches."""

from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import (
    FrontEnd,
    LocalFeatures,
    Matches,
    NearestNeighbourOptions,
)
from hloc_localizer.localization.options import LocalizerOptions, RetrievalOptions
from hloc_localizer.localization.point_matching import PointIndex, PointMatches, match_points
from hloc_localizer.maps.quantisation import restore_descriptors
from hloc_localizer.maps.runtime import RuntimeMap

_PREPARED_IMAGES = 1024


class PlaceMatcher(Protocol):
    """Matches a query to places."""

    @property
    def candidates(self) -> int:
        """How many map images are worth retrieving for it."""
        ...

    def attempts(self, images: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Say which of the retrieved images (best first) to try, one attempt after the other."""
        ...

    def __call__(self, query: LocalFeatures, places: list[NDArray[np.intp]]) -> list[PointMatches]:
        """Match to groups of map images; the surest matches first."""
        ...

    def release(self) -> None:
        """Let go of threads and of what lies on the front end's device; it cannot be used again."""
        ...


def create_matcher(
    runtime: RuntimeMap, index: PointIndex, front_end: FrontEnd, options: LocalizerOptions
) -> PlaceMatcher:
    """Choose how to match: by descriptors alone, or image by image with a network."""
    if front_end.nearest is not None:
        return DescriptorMatcher(runtime, index, front_end.nearest, options)
    return NetworkMatcher(runtime, front_end, options.retrieval)


class DescriptorMatcher:
    """Compares descriptors with the points of each place, whichever image saw them."""

    def __init__(
        self,
        runtime: RuntimeMap,
        index: PointIndex,
        nearest: NearestNeighbourOptions,
        options: LocalizerOptions,
    ) -> None:
        self.candidates = options.retrieval.candidates
        self._runtime = runtime
        self._index = index
        self._nearest = nearest
        self._options = options.retrieval
        # numpy lets go of the interpreter while it multiplies and searches.
        self._workers = ThreadPoolExecutor(
            options.threads or os.cpu_count(), thread_name_prefix='place'
        )

    def attempts(self, images: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Return the first, then the rest: matched alone, they cost what they cost."""
        first = self._options.first_candidates
        return _filled([images[:first], images[first:]])

    def __call__(self, query: LocalFeatures, places: list[NDArray[np.intp]]) -> list[PointMatches]:
        """Match to groups of map images; the surest matches first."""

        def match(place: NDArray[np.intp]) -> PointMatches:
            return match_points(
                query,
                self._runtime,
                self._index,
                place,
                self._nearest,
                max_keypoints=self._options.max_keypoints,
            )

        return list(self._workers.map(match, places))

    def release(self) -> None:
        """End the threads; what they work on are the map's own arrays."""
        self._workers.shutdown()


@dataclass(frozen=True)
class _Reference:
    """A map image, ready for a network."""

    features: LocalFeatures
    observed: NDArray[np.intp]
    """(N,) the observation of each keypoint."""


class NetworkMatcher:
    """
    Matches with all candidate images in one batch of a network such as LightGlue.

    What was found for a query is remembered until the next one comes. For few images the strongest
    keypoints do, in three quarters of the time.
    """

    def __init__(self, runtime: RuntimeMap, front_end: FrontEnd, options: RetrievalOptions) -> None:
        self.candidates = options.learned_candidates
        self._options = options
        self._runtime = runtime
        self._front_end = front_end
        self._query: LocalFeatures | None = None
        self._found: dict[int, Matches] = {}
        self._prepared: OrderedDict[int, _Reference] = OrderedDict()
        self._track_length = np.bincount(runtime.observation_point, minlength=len(runtime.points))

    def __call__(self, query: LocalFeatures, places: list[NDArray[np.intp]]) -> list[PointMatches]:
        """Match to groups of map images; the surest matches first."""
        if self._query is not query:
            self._query, self._found = query, {}
        images = [int(image) for place in places for image in place]
        new = [image for image in images if image not in self._found]
        if new:
            few = len(images) <= self._options.learned_first_candidates
            asked = query.strongest(self._options.learned_first_keypoints) if few else query
            found = self._front_end.match(asked, [self._reference(image).features for image in new])
            self._found.update(zip(new, found, strict=True))
        return [self._merged(place, self._found) for place in places]

    def release(self) -> None:
        """Let go of the references that lie on the device."""
        self._prepared.clear()

    def attempts(self, images: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Return the first, then all: together with the others the first say more, at no cost."""
        first = self._options.learned_first_candidates
        return [images[:first], images] if first < len(images) else [images]

    def _reference(self, image: int) -> _Reference:
        """Return keypoints of a map image that have a point, ready for the matcher."""
        if image in self._prepared:
            self._prepared.move_to_end(image)
            return self._prepared[image]
        runtime = self._runtime
        observed = self._observations(image)
        keypoints = runtime.observation_keypoint[observed]
        features = LocalFeatures(
            keypoints=keypoints,
            descriptors=restore_descriptors(
                runtime.descriptors[runtime.observation_descriptor[observed]]
            ),
            scores=np.ones(len(keypoints), np.float32),
            scales=np.ones(len(keypoints), np.float32),
            image_size=runtime.cameras[runtime.image_camera[image]].image_size,
        )
        self._prepared[image] = _Reference(self._front_end.prepare(features), observed)
        while len(self._prepared) > _PREPARED_IMAGES:
            self._prepared.popitem(last=False)
        return self._prepared[image]

    def _observations(self, image: int) -> NDArray[np.intp]:
        """Choose the observations whose points most images see: they are found again most often."""
        observed = np.arange(*self._runtime.observation_offsets[image : image + 2])
        length = self._track_length[self._runtime.observation_point[observed]]
        longest = np.argsort(-length, kind='stable')[: self._options.learned_reference_keypoints]
        return np.asarray(observed[np.sort(longest)])

    def _merged(self, place: NDArray[np.intp], by_image: dict[int, Matches]) -> PointMatches:
        """Join the matches to the images of a place; of rivals for a keypoint the surest stays."""
        runtime = self._runtime
        keypoint, point, score = [], [], []
        for image in place:
            matches = by_image[int(image)]
            observed = self._reference(int(image)).observed
            keypoint.append(matches.indices[:, 0])
            point.append(runtime.observation_point[observed[matches.indices[:, 1]]])
            score.append(matches.scores)
        all_keypoints = np.concatenate(keypoint).astype(np.intp)
        all_points = np.concatenate(point).astype(np.intp)
        all_scores = np.concatenate(score)
        order = np.argsort(-all_scores, kind='stable')
        first_of_keypoint = np.zeros(len(order), np.bool_)
        first_of_keypoint[np.unique(all_keypoints[order], return_index=True)[1]] = True
        first_of_point = np.zeros(len(order), np.bool_)
        first_of_point[np.unique(all_points[order], return_index=True)[1]] = True
        kept = order[first_of_keypoint & first_of_point]
        return PointMatches(all_keypoints[kept], all_points[kept], all_scores[kept])


def _filled(attempts: list[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """Leave out attempts without images, but not the first: a prior may have some for it."""
    return [attempts[0], *(images for images in attempts[1:] if len(images))]
