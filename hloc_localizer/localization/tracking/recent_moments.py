"""The last moments that gave no pose by themselves, solved together: a weak camera as a rig."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.joint import JointLocalizer
from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.tracking.estimate import is_plausible
from hloc_localizer.localization.tracking.moment_search import Found, body_of
from hloc_localizer.localization.tracking.options import TrackingOptions
from hloc_localizer.localization.window import Moment, Window

Array = NDArray[np.float64]

_CONTRIBUTES = 3
"""Fewest matches by which a moment counts as a witness."""


class RecentMoments:
    """
    Keeps what the moments since the last pose matched in the whole map.

    What a pose that entered rests on is forgotten: nothing may count twice.
    """

    def __init__(self, localizer: Localizer, options: TrackingOptions) -> None:
        """Prepare for the map of a localizer."""
        self._joint = JointLocalizer(localizer)
        self._window = Window(localizer.options.window)
        self._least = localizer.options.accept.min_distinct
        self._options = options

    def clear(self) -> None:
        """Forget all: a pose has entered, or the stream begins anew."""
        self._window.clear()

    def add(self, stamp_ns: int, odom_from_body: Array | None, found: Found) -> None:
        """Keep what a moment matched; without odometry nothing ties it to others."""
        if odom_from_body is None:
            self._window.clear()
            return
        moment = Moment(stamp_ns, odom_from_body, found.mounted)
        moments = self._window.moments
        if moments and not self._is_plausible(moments[-1], moment):
            self._window.clear()
        self._window.add(moment)

    def _is_plausible(self, older: Moment, newer: Moment) -> bool:
        motion = transforms.invert(older.odom_from_rig) @ newer.odom_from_rig
        seconds = (newer.stamp_ns - older.stamp_ns) * 1e-9
        return is_plausible(motion, seconds, self._options.drift)

    def solve(self, newest: Found) -> Found | None:
        """
        Solve what is kept, if that is more than the newest moment.

        :param newest: what that gave by itself.
        :returns: a pose, or several of an ambiguous place; None when there is nothing new.
        """
        if len(self._window.moments) < 2 or not newest.mounted:
            return None
        joint = self._joint.localize(self._window)
        body = body_of(joint)
        if body is None and not joint.alternatives:
            return None
        moments = self._window.moments[-len(joint.distinct_by_moment) :]
        image = joint.of_camera(0, newest.mounted[0].rig_from_camera)
        image = dataclasses.replace(
            image,
            matches=newest.image.matches,
            candidates=newest.image.candidates,
            retrieval_scores=newest.image.retrieval_scores,
            retrieval_margin=newest.image.retrieval_margin,
            stage_ms={**newest.image.stage_ms, **joint.stage_ms},
        )
        return Found(
            image,
            body,
            everywhere=True,
            inliers=joint.inliers_by_image,
            mounted=newest.mounted,
            images=joint.images,
            witnesses=self._witnesses(moments, joint.distinct_by_moment, joint.distinct),
            since_ns=moments[0].stamp_ns,
        )

    def _witnesses(
        self, moments: Sequence[Moment], distinct_by_moment: Sequence[int], distinct: int
    ) -> int:
        """Return how many single images, taken apart, would have as much to say."""
        apart: list[Array] = []
        for moment, count in zip(moments, distinct_by_moment, strict=True):
            if count >= _CONTRIBUTES and self._is_apart(moment.odom_from_rig, apart):
                apart.append(moment.odom_from_rig)
        return max(min(len(apart), distinct // self._least), 1)

    def _is_apart(self, pose: Array, others: Sequence[Array]) -> bool:
        """Tell whether a pose is elsewhere than the last of some others."""
        if not others:
            return True
        metres, radians = transforms.pose_distance(others[-1], pose)
        far = metres >= self._options.confirm_after_m
        return bool(far or np.degrees(radians) >= self._options.confirm_after_deg)
