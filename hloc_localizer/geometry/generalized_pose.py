"""Generalized camera: the pose of several cameras held together, robustly from their matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.absolute_pose import (
    MIN_MATCHES,
    AbsolutePoseOptions,
    estimate_absolute_pose,
)
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.pose_chain import View, refine_rig

Array = NDArray[np.float64]

_SIGMAS = 2.0
"""How far the tie of a view may be off, in its standard deviations, for its inliers to count."""
_SAME_INLIERS = 0.5
"""Two poses are one when they share this share of the smaller one's inliers."""
_REFINED = 6
"""Best proposals that are optimised."""


@dataclass(frozen=True)
class RigView:
    """The matches of one camera of a rig, or of one frame of a window."""

    view: View
    groups: NDArray[np.intp]
    """(N,) the place that each match is to: a pose is looked for in each place alone."""
    position_sigma_m: float = 0.0
    """Standard deviation, each axis, of where the view is on the rig: 0 for a calibrated one."""
    rotation_sigma: float = 0.0
    """The same of how it is turned, in radians."""
    proposals: Array | None = field(default=None, repr=False)
    """(K, 4, 4) poses ``map_from_camera`` of :func:`propose`, where they were computed before."""


@dataclass(frozen=True)
class RigPose:
    """A pose of a rig and the matches that agree with it."""

    map_from_rig: Array
    """(4, 4)."""
    inliers: tuple[NDArray[np.bool_], ...]
    """For each view (N,)."""
    score: float
    """Inliers weighted by their errors and by how hard it is to be one by chance."""


def propose(view: RigView, options: AbsolutePoseOptions) -> Array:
    """
    Find for each group of a view's matches the pose that most of it agrees with.

    :returns: (K, 4, 4) ``map_from_camera``.
    """
    poses = []
    for group in np.unique(view.groups):
        chosen = view.groups == group
        found = estimate_absolute_pose(
            view.view.camera, view.view.keypoints[chosen], view.view.points[chosen], options
        )
        if found is not None:
            poses.append(found[0])
    return np.array(poses).reshape(-1, 4, 4)


def estimate_generalized_pose(
    views: Sequence[RigView], options: AbsolutePoseOptions
) -> list[RigPose]:
    """
    Find the poses of a rig that the matches of all its cameras speak for.

    A minimal sample of a generalized camera may as well lie in one of its cameras (P3P), and what
    it says be carried over to the others by the known mounting; only the vote is taken over all
    of them (Kneip, Furgale and Siegwart, "Using multi-camera systems in robotics", ICRA 2013,
    compare this with minimal samples over several cameras). A vote weighs the more, the smaller
    the share of the image in which a match would be an inlier by chance (as in Moisan, Moulon and
    Monasse, "Automatic homographic registration ... with a contrario elimination of outliers",
    IPOL 2012): views that are loosely tied accept larger errors.

    :returns: distinct poses, the one with most evidence first; those that share their inliers
        are one. Empty when there is none.
    """
    proposed = [
        (propose(view, options) if view.proposals is None else view.proposals)
        @ transforms.invert(view.view.rig_from_camera)
        for view in views
    ]
    poses = np.concatenate(proposed) if proposed else np.zeros((0, 4, 4))
    if not len(poses):
        return []
    planes = [_Plane.of(view, options.max_error_px) for view in views]
    scores = sum(plane.scores(poses) for plane in planes)
    assert isinstance(scores, np.ndarray)
    found = [_optimised(views, planes, poses[index]) for index in _distinct(planes, poses, scores)]
    return _without_repetition([pose for pose in found if pose is not None])


def _distinct(planes: Sequence[_Plane], poses: Array, scores: Array) -> list[int]:
    """Return the best poses that do not share their inliers with a better one."""
    chosen: list[int] = []
    masks: list[NDArray[np.bool_]] = []
    for index in np.argsort(-scores, kind='stable')[: 8 * _REFINED]:
        mask = np.concatenate([plane.inliers(poses[index]) for plane in planes])
        if mask.sum() >= MIN_MATCHES and not any(_same(mask, other) for other in masks):
            chosen.append(int(index))
            masks.append(mask)
        if len(chosen) == _REFINED:
            break
    return chosen


def _without_repetition(found: list[RigPose]) -> list[RigPose]:
    kept: list[RigPose] = []
    for pose in sorted(found, key=lambda pose: -pose.score):
        mask = np.concatenate(pose.inliers)
        if not any(_same(mask, np.concatenate(other.inliers)) for other in kept):
            kept.append(pose)
    return kept


def _same(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    shared = int((mask & other).sum())
    return shared > _SAME_INLIERS * min(int(mask.sum()), int(other.sum()))


def _optimised(
    views: Sequence[RigView], planes: Sequence[_Plane], map_from_rig: Array
) -> RigPose | None:
    """Refine a pose with its inliers over all views, twice, and keep the better."""
    best = _voted(planes, map_from_rig)
    for _ in range(2):
        if sum(int(mask.sum()) for mask in best.inliers) < MIN_MATCHES:
            return None
        chosen = [
            view.view.subset(mask, noise_px=plane.noise(best.map_from_rig, mask))
            for view, plane, mask in zip(views, planes, best.inliers, strict=True)
        ]
        refined = refine_rig(chosen, best.map_from_rig, iterations=5)
        if refined is None:
            break
        again = _voted(planes, refined.map_from_rig)
        if again.score <= best.score:
            break
        best = again
    return best


def _voted(planes: Sequence[_Plane], map_from_rig: Array) -> RigPose:
    score = sum(float(plane.scores(map_from_rig[None])[0]) for plane in planes)
    return RigPose(map_from_rig, tuple(plane.inliers(map_from_rig) for plane in planes), score)


@dataclass(frozen=True)
class _Plane:
    """A view with its distortion undone: a pinhole image of the same focal length."""

    view: RigView
    keypoints: Array
    """(N, 2) pixels from the principal point; NaN where the camera cannot have them."""
    focal_px: float
    area_px: float
    max_error_px: float

    @staticmethod
    def of(view: RigView, max_error_px: float) -> _Plane:
        camera: Camera = view.view.camera
        return _Plane(
            view,
            camera.normalise(view.view.keypoints) * camera.focal_px,
            camera.focal_px,
            float(camera.width * camera.height),
            max_error_px,
        )

    def _errors(self, poses: Array) -> tuple[Array, Array]:
        """Return errors and limits (H, N) in pixels under poses (H, 4, 4) of the rig."""
        camera_from_map = transforms.invert(poses @ self.view.view.rig_from_camera)
        in_camera = transforms.apply(camera_from_map, self.view.view.points)
        depth = in_camera[..., 2]
        with np.errstate(divide='ignore', invalid='ignore'):
            offsets = in_camera[..., :2] / depth[..., None] * self.focal_px - self.keypoints
            errors = np.linalg.norm(offsets, axis=-1)
        slack = self._slack(np.maximum(depth, 1e-6))
        limits = np.sqrt(self.max_error_px**2 + (_SIGMAS * slack) ** 2)
        return np.where((depth > 1e-6) & np.isfinite(errors), errors, np.inf), limits

    def _slack(self, depth: Array) -> Array:
        """Return the error that the view's tie to the rig may cause, one standard deviation."""
        position = self.view.position_sigma_m / depth
        return np.asarray(self.focal_px * np.hypot(position, self.view.rotation_sigma))

    def scores(self, poses: Array) -> Array:
        """Return the votes (H,) for poses."""
        errors, limits = self._errors(poses)
        hard = np.log(self.area_px / (np.pi * limits**2))
        easiest = np.log(self.area_px / (np.pi * self.max_error_px**2))
        weight = np.maximum(hard / easiest, 0.0)
        return np.asarray((weight * np.maximum(1.0 - (errors / limits) ** 2, 0.0)).sum(axis=1))

    def inliers(self, pose: Array) -> NDArray[np.bool_]:
        """Return which matches (N,) agree with a pose."""
        errors, limits = self._errors(pose[None])
        return np.asarray(errors[0] <= limits[0])

    def noise(self, pose: Array, mask: NDArray[np.bool_]) -> Array:
        """Return the covariances of some residuals, larger for loosely tied views."""
        moved = transforms.invert(pose @ self.view.view.rig_from_camera)
        depth = transforms.apply(moved, self.view.view.points[mask])[:, 2]
        slack = self._slack(np.maximum(depth, 1e-3))
        loose = slack[:, None, None] ** 2 * np.eye(2)
        return np.asarray(self.view.view.noise_px[mask] + loose)
