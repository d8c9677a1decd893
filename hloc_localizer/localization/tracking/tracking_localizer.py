"""Localizing a stream: near the predicted pose where possible, in the whole map where not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.localizer import Localizer, Query
from hloc_localizer.localization.result import Localization, Reason, Status, refused
from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.tracking.guided_search import GuidedSearch
from hloc_localizer.localization.tracking.options import TrackingOptions
from hloc_localizer.localization.tracking.pose_tracker import Fix, PoseTracker, State, Verdict
from hloc_localizer.numeric_threads import NumericThreads

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrackedFrame:
    """What is known at one image of a stream."""

    state: State
    image: Localization
    """What the image alone gave: a pose, or the reason why it gave none."""
    entered: bool
    """Whether that pose entered the estimate; false: the pose, if any, is carried by odometry."""
    reason: Reason
    """Why it did not enter."""
    body: PoseEstimate | None
    """The pose of the body to publish; None unless the state has one."""
    camera: PoseEstimate | None
    """The same of the camera."""
    prior: Array | None = None
    """(4, 4) ``map_from_camera`` that was predicted or supposed."""

    @property
    def localization(self) -> Localization:
        """The result of the image with the pose of the stream in place of its own."""
        camera = self.camera
        return dataclasses.replace(
            self.image,
            status=Status.REFUSED if camera is None else Status.LOCALIZED,
            reason=self.reason,
            map_from_camera=None if camera is None else camera.map_from_body,
            covariance=None if camera is None else camera.covariance,
        )


class TrackingLocalizer:
    """
    Localizes the images of one stream in the order of their stamps.

    The same images, stamps and odometry give the same poses: no clock has a part in it.
    """

    def __init__(self, localizer: Localizer, options: TrackingOptions | None = None) -> None:
        """Prepare for the map of a localizer, which serves the searches of the whole map."""
        self.options = options or TrackingOptions()
        self.options.check()
        self.localizer = localizer
        self.tracker = PoseTracker(self.options)
        self._guided = GuidedSearch(localizer, self.options.guided)
        self._quick_front_end = localizer.quick_front_end(self.options.max_image_size)
        self._threads = NumericThreads.for_one_operation(localizer.options.threads)
        self._searched_ns: int | None = None
        self._stamps_ns: dict[str, int] = {}

    def reset(self) -> None:
        """Forget the stream: time jumped back."""
        self.tracker.reset()
        self._searched_ns = None
        self._stamps_ns = {}

    def warm_up(self) -> None:
        """Run each part once, so that the first real image is not the slow one."""
        self.localizer.warm_up()
        # A localizer that was closed has made its front end anew.
        self._quick_front_end = self.localizer.quick_front_end(self.options.max_image_size)
        camera = self.localizer.map.runtime.cameras[0]
        noise = np.random.default_rng(0).integers(0, 255, (camera.height, camera.width), np.uint8)
        self._quick_front_end.extract(noise)

    def localize(
        self,
        image: NDArray[np.uint8],
        camera: Camera,
        stamp_ns: int,
        *,
        odom_from_body: Array | Callable[[], Array | None] | None = None,
        body_from_camera: Array | None = None,
        camera_name: str = '',
        supposed: PoseEstimate | None = None,
    ) -> TrackedFrame:
        """
        Localize the next image.

        :param image: (H, W) grey or (H, W, 3) RGB.
        :param stamp_ns: when it was taken; an image that is older than the last one, or not newer
            than the last one of its camera, changes nothing and is refused as stale.
        :param odom_from_body: (4, 4) from the odometry at that time, if there is any; or what gives
            it, which is asked after the features are extracted, so that waiting for it is free.
        :param body_from_camera: (4, 4) mounting of the camera; None: the camera is the body.
        :param camera_name: which camera, where there are several on the body.
        :param supposed: where a person says that the body is at that time.
        """
        mounting = np.eye(4) if body_from_camera is None else body_from_camera
        last_ns = self.tracker.stamp_ns
        twice = self._stamps_ns.get(camera_name) == stamp_ns
        if twice or (last_ns is not None and stamp_ns < last_ns):
            stale = refused(Reason.STALE, {})
            return TrackedFrame(self.tracker.state, stale, False, Reason.STALE, None, None)
        self._stamps_ns[camera_name] = stamp_ns
        with self._threads:
            quick = self._quick_front_end if self._quick_look_suffices(stamp_ns) else None
            query = self.localizer.prepare(image, camera, quick)
            self.tracker.advance(
                stamp_ns, odom_from_body() if callable(odom_from_body) else odom_from_body
            )
            if supposed is not None:
                self.tracker.suppose(supposed)
            prediction = self.tracker.prediction
            found, everywhere = self._find(query, stamp_ns, mounting)
        verdict = self.tracker.correct(self._fix(found, everywhere, mounting))
        frame = self._frame(found, verdict, mounting)
        if prediction is None:
            return frame
        return dataclasses.replace(frame, prior=prediction.map_from_body @ mounting)

    def _quick_look_suffices(self, stamp_ns: int) -> bool:
        """Tell whether an image can be reduced: it is only looked at near a good prediction."""
        state = self.tracker.state
        return state is State.LOCALIZED or (state.has_pose and not self._search_due(stamp_ns))

    def _find(
        self, query: Query | Localization, stamp_ns: int, mounting: Array
    ) -> tuple[Localization, bool]:
        """Return what the image gives, and whether the whole map was searched for it."""
        if isinstance(query, Localization):
            return query, False
        tracker = self.tracker
        prediction = tracker.prediction
        expected = None if prediction is None else prediction.seen_from(mounting)
        if expected is None or not tracker.proven:
            return self._search(query, stamp_ns, expected), True
        due = self._search_due(stamp_ns)
        if tracker.state is State.LOCALIZED and due:
            found = self._search(query, stamp_ns)
            return (found, True) if found.localized else (self._guided.find(query, expected), False)
        near = self._guided.find(query, expected)
        if tracker.state is State.LOCALIZED and near.reason is Reason.UNPREDICTABLE:
            # A slow camera without odometry: each image has to be searched for.
            return self._search_whole_image(query, stamp_ns), True
        if (near.localized and not tracker.doubted) or not due:
            return near, False
        found = self._search(query, stamp_ns)
        return (found, True) if found.localized or not near.localized else (near, False)

    def _search_whole_image(self, quick: Query, stamp_ns: int) -> Localization:
        """Search the whole map after all for an image that was reduced for a quick look."""
        query = self.localizer.prepare(quick.image, quick.camera)
        return query if isinstance(query, Localization) else self._search(query, stamp_ns)

    def _search(
        self, query: Query, stamp_ns: int, supposed: PoseEstimate | None = None
    ) -> Localization:
        """Search the whole map, and around a pose that a person supposes."""
        self._searched_ns = stamp_ns
        return self.localizer.search(query, None if supposed is None else supposed.map_from_body)

    def search_next(self) -> None:
        """Search the whole map for the next image, whatever the prediction gives."""
        self._searched_ns = None

    def _search_due(self, stamp_ns: int) -> bool:
        """Tell whether the whole map is to be searched, whatever the prediction gives."""
        if not self.tracker.state.has_pose or self.tracker.doubted or self._searched_ns is None:
            return True
        localized = self.tracker.state is State.LOCALIZED
        period_s = self.options.check_period_s if localized else self.options.retry_period_s
        return stamp_ns - self._searched_ns >= period_s * 1e9

    def _fix(self, found: Localization, everywhere: bool, mounting: Array) -> Fix | None:
        if found.map_from_camera is None or found.covariance is None:
            return None
        by_network = self.localizer.matches_by_network
        factor = self.options.network_errors if by_network else 1.0
        camera = PoseEstimate(found.map_from_camera, found.covariance * factor)
        return Fix(
            camera.seen_from(transforms.invert(mounting)),
            searched_everywhere=everywhere,
            strong=found.inliers >= self.options.strong_inliers and not by_network,
        )

    def _frame(self, found: Localization, verdict: Verdict | None, mounting: Array) -> TrackedFrame:
        body = self.tracker.published
        reason = found.reason
        if verdict in (Verdict.DISAGREES, Verdict.WAITS):
            reason = Reason.DISAGREES if verdict is Verdict.DISAGREES else Reason.UNCONFIRMED
        return TrackedFrame(
            state=self.tracker.state,
            image=found,
            entered=verdict in (Verdict.ENTERED, Verdict.JUMPED),
            reason=reason,
            body=body,
            camera=None if body is None else body.seen_from(mounting),
        )
