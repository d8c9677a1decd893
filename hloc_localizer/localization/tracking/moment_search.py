"""Searches with all images of one moment: that of one camera, or those of a rig together."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.joint import JointLocalizer, joint_result
from hloc_localizer.localization.localizer import Localizer, Query
from hloc_localizer.localization.observation import Observation
from hloc_localizer.localization.result import JointLocalization, Localization, Reason
from hloc_localizer.localization.stage_clock import StageClock
from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.tracking.guided_search import GuidedMatches, GuidedSearch
from hloc_localizer.localization.tracking.options import GuidedSearchOptions
from hloc_localizer.localization.window import Moment, MountedObservation
from hloc_localizer.localization.window_solver import JointHypothesis

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MountedImage:
    """An image and where its camera is on the body."""

    image: NDArray[np.uint8]
    """(H, W) grey or (H, W, 3) RGB."""
    camera: Camera
    body_from_camera: Array = field(default_factory=lambda: np.eye(4))
    """(4, 4)."""
    name: str = ''
    """Which camera."""


@dataclass(frozen=True)
class MountedQuery:
    """An image of a moment that can be searched for."""

    name: str
    query: Query
    body_from_camera: Array


@dataclass(frozen=True)
class Found:
    """What the images of a moment gave."""

    image: Localization
    """As the first camera sees it; what is counted is of all of them."""
    body: PoseEstimate | None
    """The pose of the body, where there is one."""
    everywhere: bool
    """Whether the whole map was searched."""
    inliers: tuple[int, ...] = ()
    """Of each image."""
    mounted: tuple[MountedObservation, ...] = ()
    """What the images matched in the whole map, where it was searched."""
    images: int = 1
    """How many images were solved together."""
    quick: bool = True
    """Whether reduced images were enough for it, where there were such."""
    witnesses: int = 1
    """As how many single images they count."""
    since_ns: int | None = None
    """Stamp of the oldest of them, where they are of several moments."""


class MomentSearch:
    """Finds where the body is from all images of one moment."""

    def __init__(self, localizer: Localizer, options: GuidedSearchOptions) -> None:
        """Prepare for the map of a localizer."""
        self._localizer = localizer
        self._options = options
        self._joint = JointLocalizer(localizer)
        self._guided = GuidedSearch(localizer, options)
        self._solver = self._guided.window_solver()
        self._points = localizer.map.runtime.points

    def everywhere(
        self, views: Sequence[MountedQuery], supposed: PoseEstimate | None = None
    ) -> Found:
        """
        Search the whole map.

        :param supposed: where the body may be: that place is tried, too.
        """
        examined = [self._examined(view, supposed) for view in views]
        mounted = tuple(
            MountedObservation(observation, view.body_from_camera)
            for view, (_, observation) in zip(views, examined, strict=True)
        )
        first = examined[0][0]
        if len(views) == 1:
            return dataclasses.replace(_alone(views[0], first, everywhere=True), mounted=mounted)
        joint = self._joint.localize_moment(mounted)
        reason = joint.reason
        if reason is Reason.FEW_INLIERS and not first.localized:
            reason = first.reason  # it may know what is behind that
        image = dataclasses.replace(
            joint.of_camera(0, views[0].body_from_camera),
            reason=reason,
            matches=sum(single.matches for single, _ in examined),
            candidates=first.candidates,
            retrieval_scores=first.retrieval_scores,
            retrieval_margin=first.retrieval_margin,
            stage_ms=_added([*(single.stage_ms for single, _ in examined), joint.stage_ms]),
        )
        return Found(
            image, body_of(joint), True, joint.inliers_by_image, mounted, images=joint.images
        )

    def _examined(
        self, view: MountedQuery, supposed: PoseEstimate | None
    ) -> tuple[Localization, Observation]:
        prior = None if supposed is None else supposed.map_from_body @ view.body_from_camera
        return self._localizer.examine(view.query, prior)

    def near(self, views: Sequence[MountedQuery], prediction: PoseEstimate) -> Found:
        """Search the map points around a predicted pose of the body."""
        if len(views) == 1:
            (view,) = views
            expected = prediction.seen_from(view.body_from_camera)
            return _alone(view, self._guided.find(view.query, expected), everywhere=False)
        return self._near_together(views, prediction)

    def _near_together(self, views: Sequence[MountedQuery], prediction: PoseEstimate) -> Found:
        """Solve the matches of several cameras as those of one generalized camera."""
        looks = [
            self._guided.look(view.query, prediction.seen_from(view.body_from_camera))
            for view in views
        ]
        looked = [
            (view, look)
            for view, look in zip(views, looks, strict=True)
            if not isinstance(look, Reason)
        ]
        matches = sum(len(look.matches) for _, look in looked)
        moment = Moment(
            0, np.eye(4), tuple(_observed(*pair) for pair in zip(views, looks, strict=True))
        )
        clock, found = StageClock(), list[JointHypothesis]()
        if not looked:
            reason = next(look for look in looks if isinstance(look, Reason))
        elif matches < self._options.min_matches:
            reason = Reason.FEW_MATCHES
        else:
            with clock('joint'):
                found = self._solver.solve([moment], [])[:1]
            reason = self._judge(looked, found[0]) if found else Reason.FEW_INLIERS
        joint = joint_result(found, reason, [moment], self._points, clock.stage_ms())
        stages = [*(view.query.clock.stage_ms() for view in views), joint.stage_ms]
        image = dataclasses.replace(
            joint.of_camera(0, views[0].body_from_camera), matches=matches, stage_ms=_added(stages)
        )
        return Found(image, body_of(joint), False, joint.inliers_by_image, images=joint.images)

    def _judge(
        self, looked: Sequence[tuple[MountedQuery, GuidedMatches]], found: JointHypothesis
    ) -> Reason:
        """Judge the matches of all cameras at once, each error as a share of its own radius."""
        finest = min(look.radius_px for _, look in looked)
        errors = [
            self._guided.errors_px(
                view.query, look.matches, found.map_from_rig @ view.body_from_camera
            )
            * (finest / look.radius_px)
            for view, look in looked
        ]
        return self._guided.judge(found.evidence, np.concatenate(errors), finest)


def body_of(joint: JointLocalization) -> PoseEstimate | None:
    """Return the pose of the rig with its covariance, if there is one."""
    if joint.map_from_rig is None or joint.covariance is None:
        return None
    return PoseEstimate(joint.map_from_rig, joint.covariance)


def _alone(view: MountedQuery, image: Localization, *, everywhere: bool) -> Found:
    body = None
    if image.map_from_camera is not None and image.covariance is not None:
        camera = PoseEstimate(image.map_from_camera, image.covariance)
        body = camera.seen_from(transforms.invert(view.body_from_camera))
    return Found(image, body, everywhere, (image.inliers,))


def _observed(view: MountedQuery, look: GuidedMatches | Reason) -> MountedObservation:
    """Return what was matched around a prediction, nothing where nothing could be."""
    query, found = view.query, () if isinstance(look, Reason) else (look.matches,)
    images = np.zeros(0, np.intp) if isinstance(look, Reason) else look.place
    observation = Observation(query.camera, query.features, images, found, accepted=None)
    return MountedObservation(observation, view.body_from_camera)


def _added(stages: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the milliseconds of each stage over all images."""
    total: Counter[str] = Counter()
    for one in stages:
        total.update(one)
    return dict(total)
