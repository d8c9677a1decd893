"""Localizes several images as one: a window of frames tied by odometry, or the cameras of a rig."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.acceptance import judge
from hloc_localizer.localization.ambiguity import is_rival
from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.result import (
    Alternative,
    JointLocalization,
    Reason,
    Status,
)
from hloc_localizer.localization.stage_clock import StageClock
from hloc_localizer.localization.window import Moment, MountedObservation, Window
from hloc_localizer.localization.window_solver import JointHypothesis, WindowSolver

Array = NDArray[np.float64]


class JointLocalizer:
    """
    Finds the pose of a rig from all that its cameras saw, now or during the last seconds.

    For a window: ``result, observation = localizer.observe(image, camera)`` for each frame, put
    the observation into a :class:`Window` with the odometry, then :meth:`localize` the window.
    """

    def __init__(self, localizer: Localizer) -> None:
        """Prepare for the map of a localizer, with its options."""
        self._localizer = localizer
        self._options: LocalizerOptions = localizer.options
        self._solver: WindowSolver = localizer.window_solver()

    def localize(self, window: Window) -> JointLocalization:
        """
        Find where the rig is at the newest moment of a window, or a reason why not.

        Where odometry jumped within the window, only what came after that counts; if that is
        enough, the window is cut there.
        """
        with self._localizer.threads:
            clock = StageClock()
            moments = window.moments
            if not any(moment.mounted for moment in moments):
                return self._result([], Reason.NO_TEXTURE, moments, clock)
            with clock('joint'):
                found = self._solver.solve(moments, window.ties())
                old = found[0].contradicted if found else 0
                if old:
                    moments = moments[old:]
                    found = self._solver.solve(moments, window.ties()[old:])
            result = self._judged(found, moments, clock)
            if old and result.localized:
                window.cut(old)
            return result

    def localize_rig(
        self,
        images: Sequence[NDArray[np.uint8]],
        cameras: Sequence[Camera],
        rig_from_cameras: Sequence[Array],
        prior: Array | None = None,
    ) -> JointLocalization:
        """
        Find where a rig of cameras was when all took an image at the same time.

        :param images: (H, W) grey or (H, W, 3) RGB each.
        :param cameras: their calibrations.
        :param rig_from_cameras: (4, 4) each, how they are mounted.
        :param prior: (4, 4) ``map_from_rig`` where it may have been.
        :returns: the result; what it tells of each image is in the order of the images.
        :raises InputError: when these are not as many.
        """
        if not len(images) == len(cameras) == len(rig_from_cameras):
            raise InputError(
                f'{len(images)} images, {len(cameras)} cameras and {len(rig_from_cameras)} '
                'mountings; give one of each for every camera of the rig'
            )
        mounted, refused, used = [], Reason.NO_TEXTURE, []
        for image, camera, mounting in zip(images, cameras, rig_from_cameras, strict=True):
            supposed = None if prior is None else prior @ mounting
            single, observation = self._localizer.observe(image, camera, supposed)
            used.append(observation is not None)
            if observation is None:
                refused = single.reason
            else:
                mounted.append(MountedObservation(observation, np.asarray(mounting, np.float64)))
        if not mounted:
            return self._result([], refused, (), StageClock())
        result = self.localize_moment(mounted)
        if not result.keypoints:
            return result
        pixels, points = iter(result.keypoints), iter(result.points)
        return replace(
            result,
            keypoints=tuple(next(pixels) if one else np.zeros((0, 2), np.float32) for one in used),
            points=tuple(next(points) if one else np.zeros((0, 3)) for one in used),
        )

    def localize_moment(self, mounted: Sequence[MountedObservation]) -> JointLocalization:
        """Find where a rig was from what all its cameras saw at one time."""
        window = Window(self._options.window)
        window.add(Moment(0, np.eye(4), tuple(mounted)))
        return self.localize(window)

    def _judged(
        self, found: Sequence[JointHypothesis], moments: Sequence[Moment], clock: StageClock
    ) -> JointLocalization:
        verdicts = [
            judge(one.evidence, self._options.accept, self._localizer.least_visible_ratio)
            for one in found
        ]
        accepted = [
            one for one, verdict in zip(found, verdicts, strict=True) if verdict is Reason.NONE
        ]
        if not accepted:
            return self._result(found, verdicts[0] if found else Reason.FEW_INLIERS, moments, clock)
        best = accepted[0]
        rivals = [
            other
            for other in accepted[1:]
            if is_rival(
                best.distinct_by_image,
                other.distinct_by_image,
                max_rival=self._options.accept.max_rival,
                min_distinct=self._options.accept.min_distinct,
            )
        ]
        if rivals:
            return self._result([best, *rivals], Reason.AMBIGUOUS, moments, clock)
        return self._result([best], Reason.NONE, moments, clock)

    def _result(
        self,
        found: Sequence[JointHypothesis],
        reason: Reason,
        moments: Sequence[Moment],
        clock: StageClock,
    ) -> JointLocalization:
        result = joint_result(
            found, reason, moments, self._localizer.map.runtime.points, clock.stage_ms()
        )
        if not found:
            return result
        probability = self._localizer.success_probability(found[0].evidence)
        return replace(result, success_probability=probability)


def joint_result(
    found: Sequence[JointHypothesis],
    reason: Reason,
    moments: Sequence[Moment],
    points: NDArray[np.float32],
    stage_ms: Mapping[str, float],
) -> JointLocalization:
    """
    Return what a caller sees of poses that were found for several images.

    :param found: the best first; with :attr:`Reason.AMBIGUOUS` all of them are told.
    :param reason: what is against the best one.
    :param points: (P, 3) of the map.
    """
    best = found[0] if found else None
    accepted = best is not None and reason is Reason.NONE
    matched = list(zip(moments[-1].mounted, best.newest, strict=True)) if best else []
    alternatives = found if reason is Reason.AMBIGUOUS else ()
    return JointLocalization(
        status=Status.LOCALIZED if accepted else Status.REFUSED,
        reason=reason,
        map_from_rig=best.map_from_rig if best and accepted else None,
        covariance=best.covariance if best and accepted else None,
        inliers=best.evidence.inliers if best else 0,
        distinct=best.evidence.distinct if best else 0,
        distinct_by_moment=best.distinct_by_moment if best else (),
        images=sum(len(moment.mounted) for moment in moments),
        keypoints=tuple(
            mounted.observation.features.keypoints[matches.keypoint] for mounted, matches in matched
        ),
        points=tuple(points[matches.point].astype(np.float64) for _, matches in matched),
        alternatives=tuple(
            Alternative(one.map_from_rig, one.covariance, one.evidence.distinct)
            for one in alternatives
        ),
        stage_ms=stage_ms,
    )
