"""Searches near a predicted pose with all images of one moment, as well as in the whole map."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.localization.joint import joint_result
from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.observation import Observation
from hloc_localizer.localization.result import Reason
from hloc_localizer.localization.stage_clock import StageClock
from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.tracking.guided_search import GuidedMatches, GuidedSearch
from hloc_localizer.localization.tracking.options import GuidedSearchOptions
from hloc_localizer.localization.tracking.whole_map_search import (
    CameraFound,
    Found,
    MountedQuery,
    WholeMapSearch,
    added,
    alone,
    body_of,
)
from hloc_localizer.localization.window import Moment, MountedObservation
from hloc_localizer.localization.window_solver import JointHypothesis

Array = NDArray[np.float64]


class MomentSearch(WholeMapSearch):
    """Finds where the body is from all images of one moment, also near a prediction."""

    def __init__(self, localizer: Localizer, options: GuidedSearchOptions) -> None:
        """Prepare for the map of a localizer."""
        super().__init__(localizer)
        self._options = options
        self._guided = GuidedSearch(localizer, options)
        self._solver = self._guided.window_solver()
        self._points = localizer.map.runtime.points

    def near(self, views: Sequence[MountedQuery], prediction: PoseEstimate) -> Found:
        """Search the map points around a predicted pose of the body."""
        if len(views) == 1:
            (view,) = views
            expected = prediction.seen_from(view.body_from_camera)
            return alone(view, self._guided.find(view.query, expected), everywhere=False)
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
        names, stage_ms = self._localizer.map.runtime.image_names, added(stages)
        cameras = tuple(
            CameraFound(
                view.name,
                dataclasses.replace(
                    joint.of_camera(number, view.body_from_camera),
                    matches=matches,
                    candidates=tuple(names[image] for image in _place(look)),
                    stage_ms=stage_ms,
                ),
                alone=None,
            )
            for number, (view, look) in enumerate(zip(views, looks, strict=True))
        )
        return Found(cameras[0].seen, body_of(joint), False, cameras, images=joint.images)

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


def _place(look: GuidedMatches | Reason) -> NDArray[np.intp]:
    """Return the map images whose points were searched."""
    return np.zeros(0, np.intp) if isinstance(look, Reason) else look.place


def _observed(view: MountedQuery, look: GuidedMatches | Reason) -> MountedObservation:
    """Return what was matched around a prediction, nothing where nothing could be."""
    query, found = view.query, () if isinstance(look, Reason) else (look.matches,)
    observation = Observation(query.camera, query.features, _place(look), found, accepted=None)
    return MountedObservation(observation, view.body_from_camera)
