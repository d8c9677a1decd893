"""The localizer: one image and a map give a pose, or a reason why not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.geometry.absolute_pose import (
    MIN_MATCHES,
    RefinedPose,
    estimate_absolute_pose,
    refine_absolute_pose,
)
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.acceptance import Evidence, judge, weigh
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.places import (
    Candidates,
    group_by_place,
    neighbours_of,
    retrieve,
)
from hloc_localizer.localization.point_matching import (
    PointIndex,
    PointMatches,
    match_near_pose,
    match_points,
)
from hloc_localizer.localization.result import Localization, Reason, Status
from hloc_localizer.maps.map import Map
from hloc_localizer.retrieval.registry import create_global_descriptor

_MIN_KEYPOINTS = 20
KEYPOINT_SIGMA_PX = 0.4
"""Standard deviation of a keypoint of scale 1: what maps of real rooms show in their residuals."""
_MAX_ERROR_SIGMAS = 6.0
"""An inlier's largest error; wide, since the errors of the map's own poses are not in the sigma."""


@dataclass(frozen=True)
class Hypothesis:
    """A pose with the matches it was made of and the evidence for it."""

    pose: RefinedPose
    matches: PointMatches
    inliers: NDArray[np.bool_]
    evidence: Evidence


class Localizer:
    """
    Localizes single images in a map, as hloc does: retrieve, match, solve, refine, judge.

    One image at a time: an instance may move between threads but not be shared by two at once.
    """

    def __init__(self, map: Map, options: LocalizerOptions | None = None) -> None:
        """
        Prepare a map.

        :raises InputError: when the map's front end cannot be had on this machine.
        """
        self.map = map
        self.options = options or LocalizerOptions()
        self.options.check()
        manifest = map.manifest
        self._front_end = create_front_end(manifest.front_end.name, manifest.front_end.parameters)
        self._describe = create_global_descriptor(
            manifest.global_descriptor.name, map.runtime.retrieval_arrays
        )
        self._global_descriptors = map.runtime.global_descriptors.astype(np.float32)
        self._index = PointIndex(map.runtime)

    def warm_up(self) -> None:
        """Run once on noise, so that the first real image is not the slow one."""
        camera = self.map.runtime.cameras[0]
        noise = np.random.default_rng(0).integers(0, 255, (camera.height, camera.width), np.uint8)
        self.localize(noise, camera)

    def localize(
        self,
        image: NDArray[np.uint8],
        camera: Camera,
        prior: NDArray[np.float64] | None = None,
    ) -> Localization:
        """
        Find where an image was taken.

        :param image: (H, W) grey or (H, W, 3) RGB.
        :param camera: its calibration, for an image of this size.
        :param prior: (4, 4) ``map_from_camera`` where it may have been taken: the map images
            around it are tried beside those retrieved, and must convince like those.
        """
        clock = _Clock()
        if (image.shape[1], image.shape[0]) != camera.image_size:
            return _refused(Reason.CAMERA_DIFFERS, clock)
        camera = self._refined(camera)
        with clock('extract'):
            features = self._front_end.extract(image)
        if len(features) < _MIN_KEYPOINTS:
            return _refused(Reason.NO_TEXTURE, clock)
        with clock('retrieve'):
            candidates = retrieve(
                self._describe.describe(features),
                self._global_descriptors,
                self.options.retrieval,
            )
        best, reason, matched = self._best_hypothesis(features, camera, candidates, prior, clock)
        return self._result(features, best, reason, matched, candidates, clock)

    def _refined(self, camera: Camera) -> Camera:
        """Return the calibration that building refined, for a camera that the map was made with."""
        manifest = self.map.manifest
        for name, recorded in manifest.recorded_cameras.items():
            if camera.is_close_to(recorded) and name in manifest.cameras:
                return manifest.cameras[name]
        return camera

    def _best_hypothesis(
        self,
        features: LocalFeatures,
        camera: Camera,
        candidates: Candidates,
        prior: NDArray[np.float64] | None,
        clock: _Clock,
    ) -> tuple[Hypothesis | None, Reason, int]:
        """Return the best pose of all places, what is against it, and the most matches found."""
        runtime, options = self.map.runtime, self.options
        places = group_by_place(runtime, candidates.images, options.retrieval.min_covisible)
        if prior is not None:
            everywhere = np.arange(len(runtime.image_names))
            near = neighbours_of(runtime, everywhere, prior, options.guided.max_images)
            places.insert(0, near)
        with clock('match'):
            matches = self._match(features, places)
        order = sorted(range(len(places)), key=lambda place: -len(matches[place]))
        most = len(matches[order[0]]) if order else 0
        if most < MIN_MATCHES:
            return None, Reason.FEW_MATCHES, most
        tree = cKDTree(features.keypoints)
        best: Hypothesis | None = None
        reason = Reason.FEW_INLIERS
        for place in order[: options.retrieval.max_places]:
            hypothesis = self._hypothesis(
                features, tree, camera, places[place], matches[place], clock
            )
            if hypothesis is None:
                continue
            if best is None or hypothesis.evidence.inliers > best.evidence.inliers:
                best, reason = hypothesis, judge(hypothesis.evidence, options.accept)
        return best, reason, most

    def _match(self, features: LocalFeatures, places: list[NDArray[np.intp]]) -> list[PointMatches]:
        assert self._front_end.nearest is not None
        return match_points(
            features, self.map.runtime, self._index, places, self._front_end.nearest
        )

    def _hypothesis(
        self,
        features: LocalFeatures,
        tree: cKDTree,
        camera: Camera,
        place: NDArray[np.intp],
        matches: PointMatches,
        clock: _Clock,
    ) -> Hypothesis | None:
        """Solve for a pose in one place, look again from there, refine, and weigh the evidence."""
        runtime, options = self.map.runtime, self.options
        with clock('pose'):
            found = estimate_absolute_pose(
                camera,
                features.keypoints[matches.keypoint],
                runtime.points[matches.point],
                options.absolute_pose,
            )
        if found is None:
            return None
        pose, inliers = found
        with clock('refine'):
            refined = self._refine(features, camera, matches, inliers, pose)
            if refined is None:
                return None
            visible = np.zeros((0, 2))
            for _ in range(options.guided.rounds):
                images = neighbours_of(
                    runtime, place, refined.map_from_camera, options.guided.max_images
                )
                guided, visible = match_near_pose(
                    features,
                    tree,
                    runtime,
                    self._index,
                    self._index.points_of(images),
                    camera,
                    refined.map_from_camera,
                    options.guided,
                )
                again = self._refine(
                    features,
                    camera,
                    guided,
                    np.ones(len(guided), np.bool_),
                    refined.map_from_camera,
                )
                if again is None:
                    break
                refined, matches = again, guided
        errors = self._errors(features, camera, matches, refined)
        inliers = errors <= _MAX_ERROR_SIGMAS
        evidence = weigh(camera, refined, features.keypoints[matches.keypoint[inliers]], visible)
        return Hypothesis(refined, matches, inliers, evidence)

    def _refine(
        self,
        features: LocalFeatures,
        camera: Camera,
        matches: PointMatches,
        used: NDArray[np.bool_],
        pose: NDArray[np.float64],
    ) -> RefinedPose | None:
        if int(used.sum()) < MIN_MATCHES:
            return None
        keypoint, point = matches.keypoint[used], matches.point[used]
        return refine_absolute_pose(
            camera,
            pose,
            features.keypoints[keypoint],
            self.map.runtime.points[point],
            sigma_px=self._sigmas(features, camera, keypoint, point, pose),
        )

    def _sigmas(
        self,
        features: LocalFeatures,
        camera: Camera,
        keypoint: NDArray[np.intp],
        point: NDArray[np.intp],
        pose: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Expect of each residual the error of its keypoint and of its point, in pixels."""
        offsets = self.map.runtime.points[point] - pose[:3, 3]
        depth = np.maximum(np.abs(offsets @ pose[:3, 2]), 1e-3)
        of_point = KEYPOINT_SIGMA_PX * self.map.runtime.point_sigma[point] / depth * camera.focal_px
        of_keypoint = KEYPOINT_SIGMA_PX * np.sqrt(np.maximum(features.scales[keypoint], 1.0))
        return np.asarray(np.sqrt(of_keypoint**2 + np.minimum(of_point, 20.0) ** 2), np.float64)

    def _errors(
        self, features: LocalFeatures, camera: Camera, matches: PointMatches, pose: RefinedPose
    ) -> NDArray[np.float64]:
        """Return the errors of the matches relative to their standard deviations."""
        sigma = self._sigmas(
            features, camera, matches.keypoint, matches.point, pose.map_from_camera
        )
        if len(sigma) != len(pose.errors_px):
            return np.full(len(sigma), np.inf)
        return np.asarray(pose.errors_px / sigma)

    def _result(
        self,
        features: LocalFeatures,
        best: Hypothesis | None,
        reason: Reason,
        matched: int,
        candidates: Candidates,
        clock: _Clock,
    ) -> Localization:
        accepted = best is not None and reason is Reason.NONE
        names = self.map.runtime.image_names
        return Localization(
            status=Status.LOCALIZED if accepted else Status.REFUSED,
            reason=reason,
            map_from_camera=best.pose.map_from_camera if best and accepted else None,
            covariance=best.pose.covariance if best and accepted else None,
            inliers=best.evidence.inliers if best else 0,
            matches=len(best.matches) if best else matched,
            candidates=tuple(names[image] for image in candidates.images),
            retrieval_scores=tuple(float(score) for score in candidates.scores),
            keypoints=features.keypoints[best.matches.keypoint] if best else _NO_PIXELS,
            points=self.map.runtime.points[best.matches.point].astype(np.float64)
            if best
            else np.zeros((0, 3)),
            inlier_mask=best.inliers if best else np.zeros(0, np.bool_),
            stage_ms=clock.stage_ms(),
        )


_NO_PIXELS = np.zeros((0, 2), np.float32)


def _refused(reason: Reason, clock: _Clock) -> Localization:
    return Localization(
        status=Status.REFUSED,
        reason=reason,
        map_from_camera=None,
        covariance=None,
        inliers=0,
        matches=0,
        candidates=(),
        stage_ms=clock.stage_ms(),
    )


class _Clock:
    """Adds up the milliseconds of named stages."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        elapsed = (time.perf_counter() - begin) * 1000.0
        self._stages[stage] = self._stages.get(stage, 0.0) + elapsed

    def stage_ms(self) -> dict[str, float]:
        """Return the stages and their total so far."""
        return {**self._stages, 'total': (time.perf_counter() - self._begin) * 1000.0}
