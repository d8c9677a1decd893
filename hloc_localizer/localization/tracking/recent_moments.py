"""The last moments that gave no pose by themselves, solved together: a weak camera as a rig."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.bundle import RecordedMoment
from hloc_localizer.localization.joint import JointLocalizer
from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.result import JointLocalization, Localization
from hloc_localizer.localization.tracking.estimate import is_plausible
from hloc_localizer.localization.tracking.options import TrackingOptions
from hloc_localizer.localization.tracking.whole_map_search import Found, body_of
from hloc_localizer.localization.window import Moment, Window

Array = NDArray[np.float64]

_CONTRIBUTES = 3
"""Fewest matches by which a moment counts as a witness."""

_MOST_BYTES = 1 << 25
"""Of images that are remembered for :attr:`Found.earlier`."""


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
        self._recorded: list[RecordedMoment] = []

    def clear(self) -> None:
        """Forget all: a pose has entered, or the stream begins anew."""
        self._window.clear()
        self._recorded.clear()

    def add(self, recorded: RecordedMoment, found: Found) -> None:
        """Keep what a moment matched; without odometry nothing ties it to others."""
        if recorded.odom_from_body is None:
            self.clear()
            return
        moment = Moment(recorded.stamp_ns, recorded.odom_from_body, found.mounted)
        moments = self._window.moments
        if moments and not self._is_plausible(moments[-1], moment):
            self._window.clear()
        self._window.add(moment)
        self._remember(recorded)

    def _remember(self, recorded: RecordedMoment) -> None:
        """Keep the images of the window, the oldest only as far as they fit."""
        within = {moment.stamp_ns for moment in self._window.moments}
        kept = [one for one in self._recorded if one.stamp_ns in within] + [recorded]
        while sum(one.image.nbytes for moment in kept for one in moment.images) > _MOST_BYTES:
            kept.pop(0)
        self._recorded = kept

    def _earlier(self) -> tuple[RecordedMoment, ...] | None:
        """Return the moments before the newest as they can be searched for again."""
        moments = self._window.moments
        return tuple(self._recorded[:-1]) if len(self._recorded) == len(moments) else None

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
        earlier = self._earlier()
        joint = self._joint.localize(self._window)
        body = body_of(joint)
        if body is None and not joint.alternatives:
            return None
        moments = self._window.moments[-len(joint.distinct_by_moment) :]
        cameras = tuple(
            dataclasses.replace(
                camera,
                seen=_seen(joint.of_camera(number, mounted.rig_from_camera), camera.seen, joint),
            )
            for number, (camera, mounted) in enumerate(
                zip(newest.cameras, newest.mounted, strict=True)
            )
        )
        return dataclasses.replace(
            newest,
            image=cameras[0].seen,
            body=body,
            cameras=cameras,
            images=joint.images,
            witnesses=self._witnesses(moments, joint.distinct_by_moment, joint.distinct),
            since_ns=moments[0].stamp_ns,
            earlier=earlier,
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


def _seen(image: Localization, by_itself: Localization, joint: JointLocalization) -> Localization:
    """Add what the newest moment alone tells of an image."""
    return dataclasses.replace(
        image,
        matches=by_itself.matches,
        candidates=by_itself.candidates,
        retrieval_scores=by_itself.retrieval_scores,
        retrieval_margin=by_itself.retrieval_margin,
        stage_ms={**by_itself.stage_ms, **joint.stage_ms},
    )
