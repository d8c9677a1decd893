"""The localizer: one image and a map give a pose, or a reason why not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.features.local_features import FrontEnd, LocalFeatures
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import keypoint_sigma_px
from hloc_localizer.localization.acceptance import Evidence, judge, least_visible_ratio
from hloc_localizer.localization.attempt import Attempt, unless_ambiguous
from hloc_localizer.localization.hypothesis import Hypothesis, PoseSolver
from hloc_localizer.localization.image_quality import why_few_features
from hloc_localizer.localization.observation import Observation
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.place_matching import create_matcher
from hloc_localizer.localization.places import (
    Candidates,
    group_by_place,
    margin,
    neighbours_of,
    retrieve,
    sessions_of,
)
from hloc_localizer.localization.point_matching import PointIndex
from hloc_localizer.localization.recorded_front_end import (
    can_be_reduced,
    recorded_front_end,
    recorded_global_descriptor,
)
from hloc_localizer.localization.result import Localization, Reason, Status, refused
from hloc_localizer.localization.stage_clock import StageClock
from hloc_localizer.localization.success import success_probability
from hloc_localizer.localization.window_solver import WindowSolver
from hloc_localizer.maps.calibration import Calibration
from hloc_localizer.maps.map import Map
from hloc_localizer.numeric_threads import NumericThreads

_MIN_KEYPOINTS = 20
_SPARSE_KEYPOINTS = 300
"""Fewer than this may be too few because of the image, not of the scene."""


@dataclass(frozen=True)
class Query:
    """An image, ready to be searched for."""

    image: NDArray[np.uint8]
    features: LocalFeatures
    camera: Camera
    """As building refined it, when the map was made with it."""
    clock: StageClock


class Localizer:
    """
    Localizes single images in a map, as hloc does: retrieve, match, solve, refine, judge.

    One image at a time: an instance may move between threads but not be shared by two at once.
    """

    def __init__(
        self,
        map: Map,  # noqa: A002 - the best name there is
        options: LocalizerOptions | None = None,
    ) -> None:
        """
        Prepare a map.

        :raises InputError: when the map's front end cannot be had on this machine.
        """
        self.map = map
        self.options = calibrated_options(options or LocalizerOptions(), map.manifest.calibration)
        self.options.check()
        self._global_descriptors = map.runtime.global_descriptors.astype(np.float32)
        self._sessions = sessions_of(map.runtime.image_names)
        self._index = PointIndex(map.runtime)
        self._open()
        self.threads = NumericThreads.for_one_operation(self.options.threads)
        self.least_visible_ratio = least_visible_ratio(self._front_end, self.options.accept)
        self.keypoint_sigma_px = keypoint_sigma_px(
            map.manifest.statistics.mean_reprojection_error_px
        )
        self._solver = PoseSolver(
            map.runtime,
            self._index,
            self.options,
            keypoint_sigma_px=self.keypoint_sigma_px,
        )

    def _open(self) -> None:
        """Make the front end that the map records, and what works with it."""
        self._front_end = recorded_front_end(self.map, self.options)
        self._global_descriptor = recorded_global_descriptor(self.map, self.options)
        self._matcher = create_matcher(self.map.runtime, self._index, self._front_end, self.options)
        self.closed = False

    @property
    def matches_by_network(self) -> bool:
        """Whether a network matches: its matches prove less."""
        return self._front_end.nearest is None

    def quick_front_end(self, max_image_size: int) -> FrontEnd:
        """
        Return the front end for images reduced to a longest side.

        A network is not loaded twice for that: it is returned as it is.
        """
        if not can_be_reduced(self._front_end):
            return self._front_end
        return recorded_front_end(self.map, self.options, max_image_size=max_image_size)

    def close(self) -> None:
        """
        Give the memory of the front end's device back; :meth:`warm_up` makes ready again.

        The map stays loaded. Without a device there is little to give back, and nothing is lost.
        """
        self.closed = True
        self._matcher.release()
        self._global_descriptor.release()
        self._front_end.release()

    def warm_up(self) -> None:
        """Run once on noise, so that the first real image is not the slow one."""
        if self.closed:
            self._open()
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
        return self.observe(image, camera, prior)[0]

    def observe(
        self,
        image: NDArray[np.uint8],
        camera: Camera,
        prior: NDArray[np.float64] | None = None,
    ) -> tuple[Localization, Observation | None]:
        """
        Localize an image and also return what it matched, for a :class:`Window`.

        :returns: the result of :meth:`localize`, and the matches; None without a look at them.
        """
        if self.closed:
            raise HlocLocalizerError('the localizer is closed; warm_up() makes it ready again')
        with self.threads:
            query = self.prepare(image, camera)
            if isinstance(query, Localization):
                return query, None
            return self.examine(query, prior)

    def localize_features(
        self, features: LocalFeatures, camera: Camera, global_descriptor: NDArray[np.float32]
    ) -> Localization:
        """
        Find where an image was taken whose features are already known.

        :param camera: as building refined it.
        :param global_descriptor: (G,) of the image, by the map's own global descriptor.
        """
        clock = StageClock()
        if len(features) < _MIN_KEYPOINTS:
            return refused(Reason.NO_TEXTURE, clock.stage_ms())
        with self.threads:
            count = self._matcher.candidates
            candidates = retrieve(
                global_descriptor, self._global_descriptors, count, self._sessions
            )
            attempt = self._best_hypothesis(features, camera, candidates, None, clock)
        return self._result(features, attempt, candidates, clock)

    def prepare(
        self, image: NDArray[np.uint8], camera: Camera, front_end: FrontEnd | None = None
    ) -> Query | Localization:
        """
        Extract what matching needs.

        :param front_end: one of :meth:`quick_front_end`, in place of this localizer's own.
        :returns: a query for :meth:`search`, or the refusal of an image that cannot be one.
        """
        clock = StageClock()
        if (image.shape[1], image.shape[0]) != camera.image_size:
            return refused(Reason.CAMERA_DIFFERS, clock.stage_ms())
        with clock('extract'):
            features = (front_end or self._front_end).extract(image)
        if len(features) < _MIN_KEYPOINTS:
            return refused(why_few_features(image), clock.stage_ms())
        return Query(image, features, self._refined(camera), clock)

    def search(self, query: Query, prior: NDArray[np.float64] | None = None) -> Localization:
        """
        Localize a prepared image; as :meth:`localize`.

        Between the two, the features can be matched near a known pose, which may make the search
        unnecessary.
        """
        return self.examine(query, prior)[0]

    def examine(
        self, query: Query, prior: NDArray[np.float64] | None = None
    ) -> tuple[Localization, Observation]:
        """Localize a prepared image as :meth:`search` does; return also what it matched."""
        features, camera, clock = query.features, query.camera, query.clock
        with clock('retrieve'):
            candidates = retrieve(
                self._global_descriptor.describe(query.image, features),
                self._global_descriptors,
                self._matcher.candidates,
                self._sessions,
            )
        attempt = self._best_hypothesis(features, camera, candidates, prior, clock)
        attempt = replace(attempt, reason=_cause(attempt.reason, query.image, features, candidates))
        result = self._result(features, attempt, candidates, clock)
        accepted = attempt.hypothesis if result.localized else None
        return result, Observation(
            camera, features, candidates.images, tuple(attempt.matched), accepted, attempt.tried
        )

    def window_solver(self) -> WindowSolver:
        """Return a solver for several images of this map at once."""
        return WindowSolver(self.map.runtime, self._index, self._solver, self.options)

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
        clock: StageClock,
    ) -> Attempt:
        """Try the likeliest candidates first, which are enough for most images; then the others."""
        tree = cKDTree(features.keypoints)
        first, *others = self._matcher.attempts(candidates.images)
        attempt = self._attempt(features, tree, camera, first, prior, clock)
        for images in others:
            if attempt.reason not in (Reason.NONE, Reason.AMBIGUOUS):
                again = self._attempt(features, tree, camera, images, None, clock)
                attempt = again.better(attempt)
        return attempt

    def _attempt(
        self,
        features: LocalFeatures,
        tree: cKDTree,
        camera: Camera,
        images: NDArray[np.intp],
        prior: NDArray[np.float64] | None,
        clock: StageClock,
    ) -> Attempt:
        """Match with some map images, place by place, until a pose is accepted."""
        runtime, options = self.map.runtime, self.options
        places = group_by_place(runtime, images, options.retrieval.min_covisible)
        if prior is not None:
            everywhere = np.arange(len(runtime.image_names))
            near = neighbours_of(runtime, everywhere, prior, self._matcher.candidates)
            places.insert(0, near)
        with clock('match'):
            matches = self._matcher(features, places)
        order = sorted(range(len(places)), key=lambda place: -len(matches[place]))
        most = len(matches[order[0]]) if order else 0
        few = most < options.accept.min_distinct
        reason = Reason.FEW_MATCHES if few else Reason.FEW_INLIERS
        attempt = Attempt(None, reason, most, matches)
        accepted: list[Hypothesis] = []
        tried: list[Hypothesis] = []
        for place in order[: options.retrieval.max_places]:
            # Once a pose is accepted, only a place with as many matches can be a rival of it.
            least = options.accept.max_rival * accepted[0].evidence.distinct if accepted else 0.0
            if len(matches[place]) < max(options.accept.min_distinct, least):
                break
            hypothesis = self._solver.solve(
                features, tree, camera, places[place], matches[place], clock
            )
            if hypothesis is None:
                continue
            tried.append(hypothesis)
            verdict = judge(hypothesis.evidence, options.accept, self.least_visible_ratio)
            attempt = Attempt(hypothesis, verdict, most, matches).better(attempt)
            if verdict is Reason.NONE:
                accepted.append(hypothesis)
        attempt = replace(attempt, tried=tuple(tried))
        return unless_ambiguous(attempt, accepted, options.accept)

    def success_probability(self, evidence: Evidence) -> float | None:
        """Return how probable a pose with this evidence is right, where that was learned."""
        learned = self.map.manifest.calibration
        if learned is None or learned.success is None:
            return None
        return success_probability(learned.success, evidence)

    def _result(
        self,
        features: LocalFeatures,
        attempt: Attempt,
        candidates: Candidates,
        clock: StageClock,
    ) -> Localization:
        best, reason = attempt.hypothesis, attempt.reason
        accepted = best is not None and reason is Reason.NONE
        names = self.map.runtime.image_names
        retrieval_margin = margin(
            candidates, self.map.runtime, self.options.retrieval.min_covisible
        )
        return Localization(
            status=Status.LOCALIZED if accepted else Status.REFUSED,
            reason=reason,
            map_from_camera=best.pose.map_from_camera if best and accepted else None,
            covariance=best.pose.covariance if best and accepted else None,
            success_probability=self.success_probability(best.evidence) if best else None,
            alternatives=attempt.alternatives(),
            inliers=best.evidence.inliers if best else 0,
            matches=len(best.matches) if best else attempt.matches,
            candidates=tuple(names[image] for image in candidates.images),
            retrieval_scores=tuple(float(score) for score in candidates.scores),
            retrieval_margin=retrieval_margin,
            keypoints=features.keypoints[best.matches.keypoint] if best else _NO_PIXELS,
            points=self.map.runtime.points[best.matches.point].astype(np.float64)
            if best
            else np.zeros((0, 3)),
            inlier_mask=best.inliers if best else np.zeros(0, np.bool_),
            stage_ms=clock.stage_ms(),
        )


_NO_PIXELS = np.zeros((0, 2), np.float32)


def calibrated_options(options: LocalizerOptions, learned: Calibration | None) -> LocalizerOptions:
    """Return options with what was learned about the map, unless they say otherwise."""
    if learned is None or not options.covariance.calibrated:
        return options
    covariance = replace(
        options.covariance,
        sigma_scale=learned.sigma_scale,
        position_floor_m=learned.position_floor_m,
        rotation_floor_deg=learned.rotation_floor_deg,
    )
    return replace(options, covariance=covariance)


def _cause(
    reason: Reason, image: NDArray[np.uint8], features: LocalFeatures, candidates: Candidates
) -> Reason:
    """Return what was behind a lack of matches, where it can be told."""
    if reason not in (Reason.FEW_MATCHES, Reason.FEW_INLIERS):
        return reason
    if len(features) < _SPARSE_KEYPOINTS:
        of_image = why_few_features(image)
        if of_image is not Reason.NO_TEXTURE:
            return of_image
    return reason if candidates.stand_out else Reason.NOTHING_RETRIEVED
