"""Localizing an image near a predicted pose: no retrieval, map points where they should appear."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.absolute_pose import reprojection_jacobian, reprojection_residuals
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.acceptance import Evidence
from hloc_localizer.localization.hypothesis import Hypothesis, PoseSolver
from hloc_localizer.localization.localizer import Localizer, Query
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.places import neighbours_of
from hloc_localizer.localization.point_matching import (
    PointIndex,
    PointMatches,
    match_near_pose,
)
from hloc_localizer.localization.result import Localization, Reason, Status, refused
from hloc_localizer.localization.tracking.chance import log10_false_alarms
from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.tracking.options import GuidedSearchOptions
from hloc_localizer.localization.window_solver import WindowSolver

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class GuidedMatches:
    """What was matched around a prediction."""

    place: NDArray[np.intp]
    """(K,) the map images whose points were searched."""
    matches: PointMatches
    radius_px: float
    """How far from the predicted pixels was searched."""
    tree: cKDTree
    """The keypoints, searchable."""


class GuidedSearch:
    """Searches the map points around a predicted pose."""

    def __init__(self, localizer: Localizer, options: GuidedSearchOptions) -> None:
        """Prepare for the map of a localizer."""
        self._runtime = localizer.map.runtime
        self._options = options
        self._accept = localizer.options.accept
        self._index = PointIndex(self._runtime)
        self._near = _near(localizer.options, options)
        self._solver = PoseSolver(
            self._runtime,
            self._index,
            self._near,
            keypoint_sigma_px=localizer.keypoint_sigma_px,
        )

    def window_solver(self) -> WindowSolver:
        """Return a solver for several images that were matched around a prediction."""
        return WindowSolver(self._runtime, self._index, self._solver, self._near)

    def find(self, query: Query, prediction: PoseEstimate) -> Localization:
        """
        Find the pose near a prediction.

        :param prediction: of the camera.
        """
        clock = query.clock
        looked = self.look(query, prediction)
        if isinstance(looked, Reason):
            return refused(looked, clock.stage_ms())
        place, matches = looked.place, looked.matches
        if len(matches) < self._options.min_matches:
            return self._result(query, place, None, Reason.FEW_MATCHES, len(matches))
        found = self._solver.solve(query.features, looked.tree, query.camera, place, matches, clock)
        reason = Reason.FEW_INLIERS
        if found is not None:
            errors = self.errors_px(query, matches, found.pose.map_from_camera)
            reason = self.judge(found.evidence, errors, looked.radius_px)
        return self._result(query, place, found, reason, len(matches))

    def look(self, query: Query, prediction: PoseEstimate) -> GuidedMatches | Reason:
        """Match the points that an image should show, or say why it cannot be told which."""
        features, camera = query.features, query.camera
        with query.clock('match'):
            place = self._place(prediction.map_from_body)
            points = self._index.surest_points_of(place, self._options.max_points)
            radius = self._radius(camera, prediction, points)
            if not radius <= self._options.max_radius_px * camera.width / 640.0:
                return Reason.UNPREDICTABLE if np.isfinite(radius) else Reason.NOTHING_IN_VIEW
            tree = cKDTree(features.keypoints)
            matches, _ = match_near_pose(
                features,
                tree,
                self._runtime,
                self._index,
                points,
                camera,
                prediction.map_from_body,
                min_similarity=self._options.min_similarity,
                radius_px=radius,
            )
        return GuidedMatches(place, matches, radius, tree)

    def judge(self, evidence: Evidence, errors_px: Array, radius_px: float) -> Reason:
        """
        Tell what is against a pose.

        :param errors_px: (N,) of all matches that were found around the prediction.
        :param radius_px: within which they were searched.
        """
        certain = evidence.position_sigma_m <= self._accept.max_position_sigma_m
        if not (certain and evidence.rotation_sigma_deg <= self._accept.max_rotation_sigma_deg):
            return Reason.UNCERTAIN
        alarms = log10_false_alarms(errors_px, radius_px)
        enough = alarms <= self._options.max_log10_false_alarms
        return Reason.NONE if enough else Reason.FEW_INLIERS

    def errors_px(self, query: Query, matches: PointMatches, map_from_camera: Array) -> Array:
        """Return the reprojection errors (N,) of matches at a pose."""
        residuals = reprojection_residuals(
            query.camera,
            map_from_camera,
            query.features.keypoints[matches.keypoint],
            self._runtime.points[matches.point],
        )
        return np.asarray(np.linalg.norm(residuals, axis=1))

    def _result(
        self,
        query: Query,
        place: NDArray[np.intp],
        found: Hypothesis | None,
        reason: Reason,
        matches: int,
    ) -> Localization:
        names = self._runtime.image_names
        result = dataclasses.replace(
            refused(reason, query.clock.stage_ms()),
            matches=matches,
            candidates=tuple(names[image] for image in place),
        )
        if found is None:
            return result
        accepted = reason is Reason.NONE
        return dataclasses.replace(
            result,
            status=Status.LOCALIZED if accepted else Status.REFUSED,
            map_from_camera=found.pose.map_from_camera if accepted else None,
            covariance=found.pose.covariance if accepted else None,
            inliers=found.evidence.inliers,
            matches=len(found.matches),
            keypoints=query.features.keypoints[found.matches.keypoint],
            points=self._runtime.points[found.matches.point].astype(np.float64),
            inlier_mask=found.inliers,
        )

    def _place(self, map_from_camera: Array) -> NDArray[np.intp]:
        """Return the map images that share points with what the camera should see."""
        poses = self._runtime.map_from_camera
        distance = np.linalg.norm(poses[:, :3, 3] - map_from_camera[:3, 3], axis=1)
        towards = poses[:, :3, 2] @ map_from_camera[:3, 2]
        # Twice as far counts like turned by a further 60 degrees, whatever the size of the map.
        scale = max(float(np.median(distance)), 1e-6)
        nearest = np.argsort(distance / scale + 2.0 * (1.0 - towards), kind='stable')
        seeds = nearest[: self._options.seed_images]
        return neighbours_of(self._runtime, seeds, map_from_camera, self._options.max_images)

    def _radius(self, camera: Camera, prediction: PoseEstimate, points: NDArray[np.int32]) -> float:
        """Return how far from their projections points can appear; infinite where none should."""
        chosen = points[:: max(1, len(points) // _PROBES)]
        positions = self._runtime.points[chosen].astype(np.float64)
        in_camera = transforms.apply(transforms.invert(prediction.map_from_body), positions)
        seen = camera.contains(camera.project(in_camera), border=0.0)
        if not np.any(seen):
            return float('inf')
        jacobian = reprojection_jacobian(camera, prediction.map_from_body, positions[seen])
        spread = jacobian @ prediction.covariance @ np.swapaxes(jacobian, 1, 2)
        sigma = float(np.sqrt(np.median(np.linalg.eigvalsh(spread)[:, -1])))
        return _SIGMAS * sigma + self._options.min_radius_px * camera.width / 640.0


_PROBES = 100
_SIGMAS = 2.5


def _near(options: LocalizerOptions, guided: GuidedSearchOptions) -> LocalizerOptions:
    """Return the options of a solver that starts from a prediction instead of from nothing."""
    return options.with_values(
        {
            'accept.min_distinct': guided.min_matches,
            'absolute_pose.max_iterations': guided.max_iterations,
            'guided.rounds': 1,
            'guided.max_points': guided.max_points,
            'guided.max_images': guided.max_images,
        }
    )
