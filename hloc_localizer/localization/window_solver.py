"""Solves a window or a rig: one pose from the matches of several images, judged on all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.generalized_pose import RigView, estimate_generalized_pose, propose
from hloc_localizer.geometry.pose_chain import ChainPose, Tie, refine_chain, tie_residuals
from hloc_localizer.localization.acceptance import Evidence, found_in_cells, largest_sigmas
from hloc_localizer.localization.hypothesis import PoseSolver, widened
from hloc_localizer.localization.observation import Observation
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.point_matching import PointIndex, PointMatches
from hloc_localizer.localization.second_look import SecondLook, SecondLooks
from hloc_localizer.localization.window import Moment, MountedObservation
from hloc_localizer.maps.runtime import RuntimeMap

Array = NDArray[np.float64]

_TRIED = 3
"""Poses that get a second look."""

_BENT = 22.46
"""What the squared error of a motion exceeds once in a thousand, in standard deviations."""


@dataclass(frozen=True)
class JointHypothesis:
    """A pose of the rig at the newest moment, and what all moments say for it."""

    map_from_rig: Array
    covariance: Array
    """(6, 6) as published."""
    map_from_rigs: tuple[Array, ...]
    """The poses at all moments, oldest first."""
    distinct_by_moment: tuple[int, ...]
    """Map points at each moment that stood out before a pose was known and agree with it."""
    distinct_by_image: tuple[int, ...]
    """The same in each image of each moment."""
    contradicted: int
    """How many of the oldest moments do not fit to the others, as after odometry jumped."""
    newest: tuple[PointMatches, ...]
    """The matches that agree, for each image of the newest moment."""
    evidence: Evidence
    """Over all moments; each map point counts once."""


@dataclass(frozen=True)
class _Prepared:
    """The matches of an observation, those to all places in a row."""

    matches: PointMatches
    groups: NDArray[np.intp]
    proposals: Array


class WindowSolver:
    """Finds the poses that several images, taken together, speak for."""

    def __init__(
        self,
        runtime: RuntimeMap,
        index: PointIndex,
        solver: PoseSolver,
        options: LocalizerOptions,
    ) -> None:
        """
        Prepare for a map.

        :param solver: knows how far off matches may be.
        """
        self._looks = SecondLooks(runtime, index, solver, options.guided)
        self._options = options
        self._prepared: WeakKeyDictionary[Observation, _Prepared] = WeakKeyDictionary()

    def solve(self, moments: Sequence[Moment], ties: Sequence[Tie]) -> list[JointHypothesis]:
        """
        Find the poses of the rig at the newest moment.

        :param ties: one between each two successive moments.
        :returns: distinct poses, the one with most evidence first.
        """
        found = estimate_generalized_pose(
            self._as_one_rig(moments, ties), self._options.absolute_pose
        )
        least = self._options.accept.max_rival * found[0].score if found else 0.0
        fewest = self._options.accept.min_distinct
        hypotheses = [
            self._looked_again(moments, ties, pose.map_from_rig)
            for pose in found[:_TRIED]
            if pose.score >= least and sum(int(mask.sum()) for mask in pose.inliers) >= fewest
        ]
        return sorted(
            (one for one in hypotheses if one is not None),
            key=lambda one: -one.evidence.distinct,
        )

    def _as_one_rig(self, moments: Sequence[Moment], ties: Sequence[Tie]) -> list[RigView]:
        """Tie all observations to the newest pose; the older, the more loosely."""
        views: list[RigView] = []
        newest_from_older, position_variance, rotation_variance = np.eye(4), 0.0, 0.0
        for moment, tie in zip(reversed(moments), [*reversed(ties), None], strict=True):
            for mounted in moment.mounted:
                prepared = self._prepare(mounted.observation)
                mounting = newest_from_older @ mounted.rig_from_camera
                moved = dataclasses.replace(mounted, rig_from_camera=mounting)
                views.append(
                    RigView(
                        self._looks.view(moved, prepared.matches),
                        prepared.groups,
                        position_sigma_m=float(np.sqrt(position_variance)),
                        rotation_sigma=float(np.sqrt(rotation_variance)),
                        proposals=prepared.proposals,
                    )
                )
            if tie is not None:
                newest_from_older = newest_from_older @ transforms.invert(tie.older_from_newer)
                lever = float(np.linalg.norm(newest_from_older[:3, 3]))
                rotation_variance += tie.rotation_sigma**2
                position_variance += tie.position_sigma_m**2 + (tie.rotation_sigma * lever) ** 2
        return views

    def _prepare(self, observation: Observation) -> _Prepared:
        """Collect the matches of an observation: those of its pose if it has one, else all."""
        known = self._prepared.get(observation)
        if known is not None:
            return known
        accepted = observation.accepted
        if accepted is not None:
            matches = accepted.matches.subset(accepted.inliers)
            groups = np.zeros(len(matches), np.intp)
            prepared = _Prepared(matches, groups, accepted.pose.map_from_camera[None])
        else:
            matches = observation.first_matches
            sizes = [len(place) for place in observation.places]
            groups = np.repeat(np.arange(len(sizes)), sizes)
            view = RigView(self._looks.view(MountedObservation(observation), matches), groups)
            prepared = _Prepared(matches, groups, propose(view, self._options.absolute_pose))
        self._prepared[observation] = prepared
        return prepared

    def _looked_again(
        self, moments: Sequence[Moment], ties: Sequence[Tie], map_from_rig: Array
    ) -> JointHypothesis | None:
        """Search the points that each image should show, and refine all poses with them."""
        poses = _carried_back(ties, map_from_rig)
        looks: list[list[SecondLook]] = []
        chain: ChainPose | None = None
        radius = self._options.guided.radius_px
        for _ in range(max(self._options.guided.rounds, 1)):
            looks = [
                [
                    self._looks.look(
                        mounted, self._prepare(mounted.observation).matches, pose, radius
                    )
                    for mounted in moment.mounted
                ]
                for moment, pose in zip(moments, poses, strict=True)
            ]
            chain = refine_chain([[look.view for look in at] for at in looks], ties, poses)
            if chain is None:
                return None
            poses, radius = list(chain.map_from_rigs), 0.5 * self._options.guided.radius_px
        assert chain is not None
        return self._weighed(looks, chain, ties)

    def _contradicted(
        self,
        looks: Sequence[Sequence[SecondLook]],
        chain: ChainPose,
        ties: Sequence[Tie],
        distinct: Sequence[NDArray[np.intp]],
    ) -> int:
        """
        Count the oldest moments that do not belong to the motion of the newest one.

        Either the images bend the odometry by more than it errs (chi-square of six degrees of
        freedom), or what a moment shows explains a pose elsewhere well, and this one badly. If that
        holds for the newest moments themselves, this pose is of the time before a jump.
        """
        bent = np.sum(tie_residuals(ties, np.array(chain.map_from_rigs)) ** 2, axis=1)
        first = max((int(index) + 1 for index in np.flatnonzero(bent > _BENT)), default=0)
        outvoted = [
            self._is_outvoted(at, len(agreeing))
            for at, agreeing in zip(looks, distinct, strict=True)
        ]
        if outvoted[-1]:
            fitting = [index for index, wrong in enumerate(outvoted) if not wrong]
            return max(first, fitting[-1] + 1 if fitting else 0)
        return max(first, max((i + 1 for i, wrong in enumerate(outvoted) if wrong), default=0))

    def _is_outvoted(self, at: Sequence[SecondLook], agreeing: int) -> bool:
        """Tell whether the images of a moment explain another pose far better."""
        own = max((self._best_alone(look.mounted) for look in at), default=0)
        accept = self._options.accept
        return own >= accept.min_distinct and agreeing <= accept.max_rival * own

    def _best_alone(self, mounted: MountedObservation) -> int:
        """Return how many matches of an image agree with its own best pose."""
        prepared, observation = self._prepare(mounted.observation), mounted.observation
        alone = dataclasses.replace(mounted, rig_from_camera=np.eye(4))
        counts = (
            len(self._looks.agreeing(alone, observation.first_matches, pose))
            for pose in prepared.proposals
        )
        return max(counts, default=0)

    def _weighed(
        self, looks: Sequence[Sequence[SecondLook]], chain: ChainPose, ties: Sequence[Tie]
    ) -> JointHypothesis:
        """Collect the evidence of all moments for the poses of a chain."""
        shares, inliers, rays = [np.zeros(0)], [_NO_POINTS], [np.zeros((0, 3))]
        distinct: list[NDArray[np.intp]] = []
        by_image: list[int] = []
        newest: list[PointMatches] = []
        for at, map_from_rig in zip(looks, chain.map_from_rigs, strict=True):
            first, newest = [_NO_POINTS], []
            for look in at:
                observation = look.mounted.observation
                agreeing = self._looks.agreeing(look.mounted, look.matches, map_from_rig)
                pixels = observation.features.keypoints[agreeing.keypoint].astype(np.float64)
                shares.append(found_in_cells(observation.camera, pixels, look.visible))
                inliers.append(agreeing.point)
                newest.append(agreeing)
                matched = self._looks.agreeing(
                    look.mounted, observation.first_matches, map_from_rig
                )
                pixels = observation.features.keypoints[matched.keypoint].astype(np.float64)
                turned = map_from_rig[:3, :3] @ look.mounted.rig_from_camera[:3, :3]
                rays.append(observation.camera.rays(pixels) @ turned.T)
                first.append(matched.point)
                by_image.append(len(np.unique(matched.point)))
            distinct.append(np.concatenate(first))
        covariance = widened(chain.covariance, self._options.covariance)
        position_sigma, rotation_sigma = largest_sigmas(covariance)
        points, once = np.unique(np.concatenate(distinct), return_index=True)
        found = np.concatenate(shares)
        camera = next(look.view.camera for at in looks for look in at)
        distinct = [np.unique(one) for one in distinct]
        return JointHypothesis(
            map_from_rig=chain.map_from_rig,
            covariance=covariance,
            map_from_rigs=chain.map_from_rigs,
            distinct_by_moment=tuple(len(one) for one in distinct),
            distinct_by_image=tuple(by_image),
            contradicted=self._contradicted(looks, chain, ties, distinct),
            newest=tuple(newest),
            evidence=Evidence(
                inliers=len(np.unique(np.concatenate(inliers))),
                distinct=len(points),
                spread=spread_of_directions(camera, np.concatenate(rays)[once]),
                visible_ratio=float(found.mean()) if len(found) else 0.0,
                position_sigma_m=position_sigma,
                rotation_sigma_deg=rotation_sigma,
            ),
        )


_NO_POINTS = np.zeros(0, np.intp)


def _carried_back(ties: Sequence[Tie], newest: Array) -> list[Array]:
    """Return the poses, oldest first, that odometry gives from the newest one."""
    poses = [newest]
    for tie in reversed(ties):
        poses.insert(0, poses[0] @ transforms.invert(tie.older_from_newer))
    return poses


_STEPS = 16


def spread_of_directions(camera: Camera, directions: Array) -> float:
    """
    Return how widely keypoints lie around a rig, relative to the field of view of a camera.

    The same measure as the spread of pixels in one image, of unit directions instead: the product
    of the two largest standard deviations. Of keypoints, not of their map points: a point that is
    known badly, or lies beside the camera, agrees with a keypoint that is elsewhere.

    :param directions: (N, 3) the viewing rays, turned into the axes of the map.
    """
    if len(directions) < 3:
        return 0.0
    columns, rows = (np.linspace(0, size - 1, _STEPS) for size in camera.image_size)
    everywhere = camera.rays(np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2))
    everywhere = everywhere[np.all(np.isfinite(everywhere), axis=1)]
    return _area(directions) / max(_area(everywhere), 1e-9)


def _area(directions: Array) -> float:
    smallest_first = np.linalg.eigvalsh(np.cov(directions.T))
    return float(np.sqrt(max(smallest_first[-1] * smallest_first[-2], 0.0)))
