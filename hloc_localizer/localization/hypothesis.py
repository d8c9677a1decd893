"""A hypothesis: the pose that the matches to one place speak for, and how strongly."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.geometry.absolute_pose import (
    MIN_MATCHES,
    RefinedPose,
    estimate_absolute_pose,
    refine_absolute_pose,
    relative_errors,
)
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.acceptance import Evidence, weigh
from hloc_localizer.localization.match_noise import MatchNoise
from hloc_localizer.localization.options import CovarianceOptions, LocalizerOptions
from hloc_localizer.localization.places import neighbours_of
from hloc_localizer.localization.point_matching import PointIndex, PointMatches, match_near_pose
from hloc_localizer.localization.stage_clock import StageClock
from hloc_localizer.maps.runtime import RuntimeMap

_MAX_ERROR_SIGMAS = 6.0
"""An inlier's largest error; wide, since the errors of the map's own poses are not in the sigma."""


@dataclass(frozen=True)
class Hypothesis:
    """A pose with the matches it was made of and the evidence for it."""

    pose: RefinedPose
    matches: PointMatches
    inliers: NDArray[np.bool_]
    evidence: Evidence


class PoseSolver:
    """Solves for the pose in one place: robustly first, then from a second, closer look."""

    def __init__(
        self,
        runtime: RuntimeMap,
        index: PointIndex,
        options: LocalizerOptions,
        *,
        keypoint_sigma_px: float,
    ) -> None:
        """
        Prepare for a map.

        :param keypoint_sigma_px: standard deviation of a keypoint of scale 1, as the residuals of
            the map show it for its front end.
        """
        self.noise = MatchNoise(runtime, keypoint_sigma_px)
        self._runtime = runtime
        self._index = index
        self._options = options

    def solve(
        self,
        features: LocalFeatures,
        tree: cKDTree,
        camera: Camera,
        place: NDArray[np.intp],
        matches: PointMatches,
        clock: StageClock,
    ) -> Hypothesis | None:
        """
        Find the pose that the matches to a place agree on.

        :param tree: the query's keypoints.
        :param place: the map images that make up the place.
        :returns: the pose with its evidence; None when none explains enough matches to be accepted.
        """
        with clock('pose'):
            found = estimate_absolute_pose(
                camera,
                features.keypoints[matches.keypoint],
                self._runtime.points[matches.point],
                self._options.absolute_pose,
                min_inliers=self._options.accept.min_distinct,
            )
        if found is None or int(found[1].sum()) < self._options.accept.min_distinct:
            return None
        with clock('refine'):
            pose = self._refine(features, camera, matches.subset(found[1]), found[0])
            if pose is None:
                return None
            pose, joined, visible = self._look_again(features, tree, camera, place, pose, matches)
            inliers = self.agreeing(features, camera, joined, pose.map_from_camera)
            distinct = self.agreeing(features, camera, matches, pose.map_from_camera)
            covariance = widened(pose.covariance, self._options.covariance)
            pose = dataclasses.replace(pose, covariance=covariance)
            evidence = weigh(
                camera,
                pose,
                inlier_pixels=features.keypoints[joined.keypoint[inliers]].astype(np.float64),
                visible_pixels=visible,
                distinct_pixels=features.keypoints[matches.keypoint[distinct]].astype(np.float64),
            )
        return Hypothesis(pose, joined, inliers, evidence)

    def _look_again(
        self,
        features: LocalFeatures,
        tree: cKDTree,
        camera: Camera,
        place: NDArray[np.intp],
        pose: RefinedPose,
        first: PointMatches,
    ) -> tuple[RefinedPose, PointMatches, NDArray[np.float64]]:
        """
        Match the points that should be visible to the keypoints near them, and refine.

        :param first: the matches found before a pose was known; those that agree with it stay.
        :returns: the pose, all its matches, and the pixels where points should be visible.
        """
        matches = first
        options, runtime = self._options.guided, self._runtime
        visible = np.zeros((0, 2))
        radius = options.radius_px * camera.width / 640.0
        for _ in range(options.rounds):
            images = neighbours_of(runtime, place, pose.map_from_camera, options.max_images)
            guided, visible = match_near_pose(
                features,
                tree,
                runtime,
                self._index,
                self._index.surest_points_of(images, options.max_points),
                camera,
                pose.map_from_camera,
                min_similarity=options.min_similarity,
                radius_px=radius,
            )
            agree = self.agreeing(features, camera, first, pose.map_from_camera)
            joined = first.subset(agree).joined(guided)
            again = self._refine(features, camera, joined, pose.map_from_camera)
            if again is None:
                break
            pose, matches = again, joined
            radius = 0.5 * options.radius_px * camera.width / 640.0
        return pose, matches, visible

    def _refine(
        self,
        features: LocalFeatures,
        camera: Camera,
        matches: PointMatches,
        pose: NDArray[np.float64],
    ) -> RefinedPose | None:
        if len(matches) < MIN_MATCHES:
            return None
        return refine_absolute_pose(
            camera,
            pose,
            features.keypoints[matches.keypoint],
            self._runtime.points[matches.point],
            noise_px=self.noise.covariance_px(features, camera, matches, pose),
        )

    def agreeing(
        self,
        features: LocalFeatures,
        camera: Camera,
        matches: PointMatches,
        pose: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Tell which matches agree with a pose, within what their standard deviations allow."""
        errors = relative_errors(
            camera,
            pose,
            features.keypoints[matches.keypoint],
            self._runtime.points[matches.point],
            self.noise.covariance_px(features, camera, matches, pose),
        )
        return np.asarray(errors <= _MAX_ERROR_SIGMAS, np.bool_)


def widened(covariance: NDArray[np.float64], options: CovarianceOptions) -> NDArray[np.float64]:
    """Add to the covariance (6, 6) of a solution what its matches cannot know."""
    rotation_floor = np.radians(options.rotation_floor_deg)
    floor = np.repeat([options.position_floor_m, rotation_floor], 3) ** 2
    return np.asarray(covariance * options.sigma_scale**2 + np.diag(floor))
