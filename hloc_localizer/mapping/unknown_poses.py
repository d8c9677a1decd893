"""From images without poses to images in a map frame, step by step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage, PairMatches, match_pairs
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.pairs import pairs_from_poses, pairs_without_poses
from hloc_localizer.mapping.placement import Placement, odometry_of
from hloc_localizer.mapping.placing import place
from hloc_localizer.mapping.rigs import CameraRig, fitting_rigs, pairs_of_moments
from hloc_localizer.mapping.structure_from_motion import Calibration, Model, find_models
from hloc_localizer.mapping.two_view import Geometries, inlier_matches, share_of_turns, verify_pairs

_MOSTLY_TURNS = 0.9
"""Share of the pairs. Walks showed up to 0.2 at the zoom that fits worst, turning cameras 0.97."""
_ZOOMS = (0.5, 0.7, 1.0, 1.4, 2.0)
"""
Of a focal length that is only a guess, each is tried.

With a wrong one, a camera that turns seems to move.
"""
_STRETCH = 60
"""Images of the stretch on which an unknown focal length is found."""
_MAX_ERROR_PX = 4.0


@dataclasses.dataclass(frozen=True)
class UnknownPoses:
    """Finds the places of images: pairs, matches, two-view geometry, mapper, metric frame."""

    images: Sequence[MapImage]
    cameras: tuple[Camera, ...]
    refine: tuple[bool, ...]
    """Of each camera, whether its calibration is only a first guess."""
    rigs: Sequence[CameraRig]
    """Cameras that are mounted together; empty without a rig."""
    front_end: FrontEnd
    options: BuildOptions
    threads: int
    begin: Callable[[str, int | None], Callable[[int], None]]
    """Begins a stage of the build; returns what counts its steps."""

    def match(self, descriptors: NDArray[np.float32]) -> PairMatches:
        """
        Match the pairs that may overlap.

        :param descriptors: (I, G) global descriptors.
        """
        return self._match(self._pairs(descriptors), self.images)

    def place(self, matches: PairMatches, workspace: Path) -> tuple[Placement, PairMatches]:
        """
        Find as many places as there are.

        :param workspace: an existing folder for scratch files.
        :returns: the placement, and matches of the images that found a place, renumbered and not
            verified, with those of views that turned out to overlap.
        :raises HlocLocalizerError: with the reason, when there is no model worth a map.
        """
        calibration = Calibration(
            self.cameras, self.refine, tuple(not refine for refine in self.refine)
        )
        if any(self.refine):
            calibration = self._calibrated(calibration, matches, workspace)
        geometries = self._verified(calibration, matches)
        self._require_motion(geometries)
        self.begin('place', None)
        verified = inlier_matches(geometries)
        rigs, notes = fitting_rigs(self.images, calibration.cameras, verified, self.rigs)
        models = self._models(calibration, geometries, workspace, rigs)
        placement = place(self.images, models, verified, rigs, self.options.metric)
        placement = dataclasses.replace(placement, notes=(*notes, *placement.notes))
        return placement, self._completed(placement, matches)

    def _pairs(self, descriptors: NDArray[np.float32]) -> list[tuple[int, int]]:
        pairs = pairs_without_poses(
            descriptors,
            [f'{image.session}/{image.camera}' for image in self.images],
            odometry_of(self.images),
            [self.cameras[image.camera] for image in self.images],
            self.options.pairs.for_front_end(self.front_end),
        )
        if not pairs:
            raise InputError('no two images overlap; record with more overlap or a slower camera')
        together = pairs_of_moments(self.images, self.cameras, self.rigs)
        return sorted(together.union(pairs))

    def _match(self, pairs: list[tuple[int, int]], images: Sequence[MapImage]) -> PairMatches:
        advance = self.begin('match', len(pairs))
        workers = self.threads if self.front_end.parallel else 1
        return match_pairs(images, pairs, self.front_end, threads=workers, advance=advance)

    def _verified(
        self,
        calibration: Calibration,
        matches: PairMatches,
    ) -> Geometries:
        return verify_pairs(
            self.images,
            calibration.translated(),
            matches,
            max_error_px=_MAX_ERROR_PX,
            seed=self.options.vlad.seed,
            threads=self.threads,
            advance=self.begin('verify', len(matches)),
        )

    def _models(
        self,
        calibration: Calibration,
        geometries: Geometries,
        workspace: Path,
        rigs: Sequence[CameraRig] = (),
    ) -> list[Model]:
        return find_models(
            self.images,
            calibration,
            geometries,
            mapper=self.options.reconstruction.mapper,
            workspace=workspace,
            seed=self.options.vlad.seed,
            threads=self.threads,
            rigs=rigs,
        )

    def _calibrated(
        self, calibration: Calibration, matches: PairMatches, workspace: Path
    ) -> Calibration:
        """
        Find focal lengths on the stretch of the recording with most matches.

        Two views of unknown focal length say much less than calibrated ones, and take longer; so
        the whole is verified with what a part has told.
        """
        begin = _best_stretch(len(self.images), matches)
        inside = range(begin, min(begin + _STRETCH, len(self.images)))
        part = {
            pair: found
            for pair, found in matches.items()
            if pair[0] in inside and pair[1] in inside
        }
        models = self._models(calibration, self._verified(calibration, part), workspace)
        if not models or len(models[0].images) < 0.3 * len(inside):
            return calibration
        return Calibration(models[0].cameras, self.refine, (True,) * len(self.cameras))

    def _require_motion(self, geometries: Geometries) -> None:
        if not geometries:
            raise HlocLocalizerError(
                'no map could be built: no two images show the same things from two places; '
                'record with more overlap, more light and a camera that moves'
            )
        focal_px = [camera.focal_px for camera in self.cameras]
        matches = inlier_matches(geometries)
        turns = max(
            share_of_turns(self.images, matches, focal_px, zoom=zoom)
            for zoom in (_ZOOMS if any(self.refine) else (1.0,))
        )
        if turns >= _MOSTLY_TURNS:
            raise HlocLocalizerError(
                f'no map could be built: the camera only turned or stood still ({turns:.0%} of '
                'the pairs of images show no change of position); without moving sideways there '
                'are no distances'
            )

    def _completed(self, placement: Placement, matches: PairMatches) -> PairMatches:
        """Renumber matches to the placed images, and match what lies near now that it is known."""
        position = {int(index): number for number, index in enumerate(placement.images)}
        kept = {
            (position[first], position[second]): found
            for (first, second), found in matches.items()
            if first in position and second in position
        }
        images = placed_images(self.images, placement)
        near = pairs_from_poses(
            [placement.cameras[image.camera] for image in images],
            placement.poses,
            self.options.pairs.for_front_end(self.front_end),
        )
        added = [pair for pair in near if pair not in kept]
        return {**kept, **self._match(added, images)}


def placed_images(images: Sequence[MapImage], placement: Placement) -> list[MapImage]:
    """Return the images that found a place, as if their poses had been recorded."""
    placed = []
    for index, pose in zip(placement.images.tolist(), placement.poses, strict=True):
        image = images[index]
        plane = placement.cameras[image.camera].normalise(image.features.keypoints)
        placed.append(dataclasses.replace(image, map_from_camera=pose, plane=plane))
    return placed


def _best_stretch(count: int, matches: PairMatches) -> int:
    """Return the first image of the stretch whose images have most matches with each other."""
    if count <= _STRETCH:
        return 0
    starts = range(0, count - _STRETCH + 1, _STRETCH // 4)
    inside = [
        sum(
            len(found)
            for (first, second), found in matches.items()
            if start <= first and second < start + _STRETCH
        )
        for start in starts
    ]
    return starts[int(np.argmax(inside))]
