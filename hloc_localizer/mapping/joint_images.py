"""The images of a map and new ones, in one numbering, with what is known of their points."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.mapping.carried_knowledge import Knowledge, knowledge_of
from hloc_localizer.mapping.checkpoints import Checkpoints
from hloc_localizer.mapping.known_tracks import (
    color_keypoints,
    images_of,
    matches_of_tracks,
    tracks_of_map,
)
from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.session import Session
from hloc_localizer.mapping.stage_files import read_images, write_images
from hloc_localizer.mapping.tracks import Tracks
from hloc_localizer.maps import Map


@dataclass(frozen=True)
class JointImages:
    """The images of a map, then new ones."""

    images: Sequence[MapImage]
    is_new: NDArray[np.bool_]
    """(I,)."""
    descriptors: NDArray[np.float32]
    """(I, G) global ones."""
    known: PairMatches
    """Matches that a map was made of."""
    knowledge: Sequence[Knowledge]
    """Of each map that takes part."""

    def only(self, kept: NDArray[np.intp]) -> JointImages:
        """
        Return some of the images with what they saw, without the matches.

        What an image saw that is left out belongs to none of the others.
        """
        number = np.full(len(self.images), -1, np.int32)
        number[kept] = np.arange(len(kept))
        return dataclasses.replace(
            self,
            images=[self.images[index] for index in kept.tolist()],
            is_new=self.is_new[kept],
            descriptors=self.descriptors[kept],
            known={},
            knowledge=[_renumbered(each, number) for each in self.knowledge],
        )


def join_images(loaded: Map, session: Session, checkpoints: Checkpoints) -> JointImages:
    """Put the images of a map and new ones together."""
    images = stored_images_of(loaded, checkpoints, 'known')
    tracks = tracks_of_map(loaded, [image.features for image in images])
    colors = color_keypoints(images, tracks, loaded.runtime.point_colors)
    images = [
        dataclasses.replace(image, colors=color)
        for image, color in zip(images, colors, strict=True)
    ]
    count = len(images)
    knowledge = [knowledge_of(loaded, images, tracks, loaded.runtime.map_from_camera)]
    known = matches_of_tracks(tracks)
    if session.matches is not None:
        known |= {(a + count, b + count): each for (a, b), each in session.matches.items()}
    if session.knowledge is not None:
        theirs = session.knowledge.tracks
        tracks = dataclasses.replace(theirs, image=theirs.image + np.int32(count))
        knowledge.append(dataclasses.replace(session.knowledge, tracks=tracks))
    return JointImages(
        images=[*images, *session.images],
        is_new=np.arange(count + len(session.images)) >= count,
        descriptors=np.concatenate(
            [loaded.runtime.global_descriptors.astype(np.float32), session.descriptors]
        ),
        known=known,
        knowledge=knowledge,
    )


def stored_images_of(loaded: Map, checkpoints: Checkpoints, stage: str) -> list[MapImage]:
    """
    Return the images of a map, whose features are mapped into memory and not held.

    HDF5 files, from which they come, cannot be mapped.

    :param stage: whose result they become.
    :raises MapError: when the map has no features.
    """
    if not checkpoints.done(stage):
        with checkpoints.write(stage) as folder:
            write_images(folder, images_of(loaded))
    return read_images(checkpoints.folder(stage))


def _renumbered(knowledge: Knowledge, number: NDArray[np.int32]) -> Knowledge:
    tracks = knowledge.tracks
    stays = number[tracks.image] >= 0
    return dataclasses.replace(
        knowledge,
        tracks=Tracks(
            tracks.points,
            number[tracks.image[stays]],
            tracks.keypoint[stays],
            tracks.point[stays],
        ),
    )
