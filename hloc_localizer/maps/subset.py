"""A map without some of its images."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.maps.runtime import RuntimeMap

MIN_VIEWS = 2
"""A point seen by fewer images is dropped."""


def without_images(
    runtime: RuntimeMap,
    gone: NDArray[np.bool_],
    *,
    without_descriptors: NDArray[np.bool_] | None = None,
) -> RuntimeMap:
    """
    Return the map as the other images see it: their observations, and points with two of them.

    :param gone: (I,) the images to leave out.
    :param without_descriptors: (M,) descriptors to leave out, with the observations they stand for.
    """
    image = np.repeat(np.arange(len(gone)), np.diff(runtime.observation_offsets))
    kept = ~gone[image]
    if without_descriptors is not None:
        kept &= ~without_descriptors[runtime.observation_descriptor]
    views = np.bincount(runtime.observation_point[kept], minlength=len(runtime.points))
    kept &= views[runtime.observation_point] >= MIN_VIEWS
    points = np.flatnonzero(np.bincount(runtime.observation_point[kept],
                                        minlength=len(runtime.points)))  # fmt: skip
    rows = np.zeros(len(runtime.descriptors), np.bool_)
    rows[runtime.observation_descriptor[kept]] = True
    new_point, new_row = _renumbered(len(runtime.points), points), np.cumsum(rows) - 1
    images = np.flatnonzero(~gone)
    new_image = _renumbered(len(gone), images)
    first = np.repeat(np.arange(len(gone)), np.diff(runtime.covisible_offsets))
    together = ~gone[first] & ~gone[runtime.covisible_image]
    return dataclasses.replace(
        runtime,
        image_names=tuple(itertools.compress(runtime.image_names, ~gone)),
        image_camera=runtime.image_camera[images],
        map_from_camera=runtime.map_from_camera[images],
        points=runtime.points[points],
        point_covariance=runtime.point_covariance[points],
        point_colors=runtime.point_colors[points],
        observation_offsets=_offsets(image[kept], gone),
        observation_point=new_point[runtime.observation_point[kept]].astype(np.int32),
        observation_keypoint=runtime.observation_keypoint[kept],
        observation_descriptor=new_row[runtime.observation_descriptor[kept]].astype(np.int32),
        descriptors=runtime.descriptors[rows],
        descriptor_point=new_point[runtime.descriptor_point[rows]].astype(np.int32),
        covisible_offsets=_offsets(first[together], gone),
        covisible_image=new_image[runtime.covisible_image[together]].astype(np.int32),
        covisible_count=runtime.covisible_count[together],
        global_descriptors=runtime.global_descriptors[images],
    )


def _renumbered(count: int, kept: NDArray[np.intp]) -> NDArray[np.intp]:
    numbers = np.full(count, -1, np.intp)
    numbers[kept] = np.arange(len(kept))
    return numbers


def _offsets(image: NDArray[np.intp], gone: NDArray[np.bool_]) -> NDArray[np.int64]:
    counts = np.bincount(image, minlength=len(gone))[~gone]
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
