"""Candidates: the map images like a query, grouped into places that share points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.maps.runtime import RuntimeMap


@dataclass(frozen=True)
class Candidates:
    """Retrieved map images, best first."""

    images: NDArray[np.intp]
    """(K,) indices of map images."""
    scores: NDArray[np.float32]
    """(K,) cosines of the global descriptors."""
    similarity: NDArray[np.float32]
    """(I,) cosines of all map images."""
    stand_out: bool = True
    """Whether the best is more like the query than the best of as many unrelated images would
    be. Not a proof: images with few features are localized without it."""


def retrieve(
    global_descriptor: NDArray[np.float32],
    map_descriptors: NDArray[np.float32],
    count: int,
    sessions: NDArray[np.intp] | None = None,
) -> Candidates:
    """
    Find the map images most like a query, so many of each session.

    A recording that was added to a map must not crowd out what was found in the map alone.

    :param global_descriptor: (G,) of unit length.
    :param map_descriptors: (I, G).
    :param sessions: (I,) the session of each image, see :func:`sessions_of`; None: one for all.
    """
    scores = map_descriptors @ global_descriptor
    order = np.argsort(-scores, kind='stable')
    if sessions is not None:
        own = sessions[order]
        best = [np.flatnonzero(own == session)[:count] for session in np.unique(own)]
        order = order[np.sort(np.concatenate(best))]
        count *= _MOST_SESSIONS
    order = order[:count]
    return Candidates(order, scores[order], scores, _stands_out(scores))


_MOST_SESSIONS = 4
"""No more images are retrieved than of so many sessions."""


def sessions_of(image_names: Sequence[str]) -> NDArray[np.intp]:
    """
    Return the session (I,) of each image, by the first folder of its name.

    Images of several recordings are named ``session/camera/stamp.jpg``, those of one alone
    ``camera/stamp.jpg``, which are one session whatever the camera.
    """
    parts = [name.split('/') for name in image_names]
    folders = [part[0] if len(part) > _OWN_FOLDER else '' for part in parts]
    return np.unique(np.array(folders, object).astype(str), return_inverse=True)[1].reshape(-1)


_OWN_FOLDER = 2


def _stands_out(scores: NDArray[np.float32]) -> bool:
    """Compare the largest score with what the largest of n normal variables is expected to be."""
    spread = float(scores.std())
    if spread == 0.0:
        return False
    above = (float(scores.max()) - float(scores.mean())) / spread
    return bool(above > np.sqrt(2.0 * np.log(max(len(scores), 2))))


def margin(candidates: Candidates, runtime: RuntimeMap, min_covisible: int) -> float | None:
    """
    Return how far the best candidate's score is above that of any image of another place.

    Another place is an image that shares fewer points with the best one. None where there is none.
    """
    if len(candidates.images) == 0:
        return None
    best = int(candidates.images[0])
    begin, end = runtime.covisible_offsets[best : best + 2]
    enough = runtime.covisible_count[begin:end] >= min_covisible
    elsewhere = np.ones(len(candidates.similarity), np.bool_)
    elsewhere[best] = False
    elsewhere[runtime.covisible_image[begin:end][enough]] = False
    if not elsewhere.any():
        return None
    return float(candidates.scores[0] - candidates.similarity[elsewhere].max())


def group_by_place(
    runtime: RuntimeMap, images: NDArray[np.intp], min_covisible: int
) -> list[NDArray[np.intp]]:
    """
    Split map images into groups connected by shared points.

    Matches to several places at once would compete in the ratio test and in the vote for a pose.

    :returns: groups in the order of their first image.
    """
    label = np.arange(len(images))
    position = {int(image): index for index, image in enumerate(images)}
    for index, image in enumerate(images):
        begin, end = runtime.covisible_offsets[image], runtime.covisible_offsets[image + 1]
        enough = runtime.covisible_count[begin:end] >= min_covisible
        for other in runtime.covisible_image[begin:end][enough]:
            if int(other) in position:
                label[label == label[position[int(other)]]] = label[index]
    return [images[label == first] for first in dict.fromkeys(label.tolist())]


def neighbours_of(
    runtime: RuntimeMap,
    images: NDArray[np.intp],
    map_from_camera: NDArray[np.float64],
    max_images: int,
) -> NDArray[np.intp]:
    """
    Return the map images that a camera at a pose should share most points with.

    They are taken from the covisible images of the given ones, those first that look the same way
    from nearby.
    """
    covisible = [
        runtime.covisible_image[runtime.covisible_offsets[i] : runtime.covisible_offsets[i + 1]]
        for i in images
    ]
    pool = np.unique(np.concatenate([images, *covisible])).astype(np.intp)
    poses = runtime.map_from_camera[pool]
    along = poses[:, :3, 2] @ map_from_camera[:3, 2]
    distance = np.linalg.norm(poses[:, :3, 3] - map_from_camera[:3, 3], axis=1)
    scale = max(float(np.median(distance)), 1e-6)
    badness = (1.0 - along) + 0.25 * distance / scale
    kept = np.argsort(badness + 10.0 * (along < 0.5), kind='stable')[:max_images]
    return pool[kept]
