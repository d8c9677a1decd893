"""Localizing a stream: near the predicted pose where possible, in the whole map where not."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.bundle import RecordedMoment, SearchContext
from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.localization.result import Localization, Reason, Status, refused
from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.tracking.moment_search import MomentSearch
from hloc_localizer.localization.tracking.mountings import Mountings
from hloc_localizer.localization.tracking.options import TrackingOptions
from hloc_localizer.localization.tracking.pose_tracker import Fix, PoseTracker, State, Verdict
from hloc_localizer.localization.tracking.recent_moments import RecentMoments
from hloc_localizer.localization.tracking.whole_map_search import (
    CameraFound,
    Found,
    MountedQuery,
    nothing,
)
from hloc_localizer.numeric_threads import NumericThreads

Array = NDArray[np.float64]
Odometry = Array | Callable[[], Array | None] | None


@dataclass(frozen=True)
class TrackedFrame:
    """What is known at one image of a stream."""

    state: State
    image: Localization
    """What the image, or all of its moment, gave: a pose, or the reason why it gave none."""
    entered: bool
    """Whether that pose entered the estimate; false: the pose, if any, is carried by odometry."""
    reason: Reason
    """Why it did not enter."""
    body: PoseEstimate | None
    """The pose of the body to publish; None unless the state has one."""
    camera: PoseEstimate | None
    """The same of the camera."""
    cameras: tuple[CameraFound, ...] = ()
    """What each camera that took part has to do with it."""
    images: int = 1
    """How many images were solved together, those of other cameras and moments among them."""
    recorded: RecordedMoment | None = None
    """The images, and how they were searched for; None for a stale moment."""
    earlier: tuple[RecordedMoment, ...] | None = ()
    """The moments that were solved together with it; None: too large to be remembered."""
    doubt: str = ''
    """Why what was known before is doubtful, in a line for a person; empty when it is not."""

    @property
    def inliers(self) -> Mapping[str, int]:
        """Of the image of each camera, by the camera's name."""
        return {one.name: one.inliers for one in self.cameras}

    def seen_from(self, body_from_camera: Array) -> TrackedFrame:
        """Return the same for another camera of the moment."""
        camera = None if self.body is None else self.body.seen_from(body_from_camera)
        return dataclasses.replace(self, camera=camera)

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
        self._search = MomentSearch(localizer, self.options.guided)
        self._quick_front_end = localizer.quick_front_end(self.options.max_image_size)
        self._threads = NumericThreads.for_one_operation(localizer.options.threads)
        self._recent = RecentMoments(localizer, self.options)
        self._mountings = Mountings()
        self._searched_ns: int | None = None
        self._stamps_ns: dict[str, int] = {}
        self._at_last_image: PoseTracker | None = None

    def reset(self) -> None:
        """Forget the stream: time jumped back."""
        self.tracker.reset()
        self._recent.clear()
        self._mountings.reset()
        self._searched_ns = None
        self._stamps_ns = {}
        self._at_last_image = None

    def carry_on(self, stamp_ns: int, odom_from_body: Array | None = None) -> State:
        """
        Go on without an image that could be used, and tell how well the pose is known.

        Odometry that is known leads on from here, so that detours count; without it nothing is
        decided, for it may come yet. An image older than the time told here is still taken.

        :param stamp_ns: a time since the last image; an older one changes nothing.
        :param odom_from_body: (4, 4) from the odometry at that time, if there is any.
        """
        ahead = copy.copy(self.tracker)
        if ahead.stamp_ns is not None and ahead.stamp_ns < stamp_ns:
            ahead.advance(stamp_ns, odom_from_body)
            if odom_from_body is not None:
                self._at_last_image = self._at_last_image or self.tracker
                self.tracker = ahead
        return State.DEGRADED if ahead.state is State.LOCALIZED else ahead.state

    def take_over(self, before: TrackingLocalizer) -> None:
        """
        Go on with the pose of another one that worked in the same map with other options.

        The moments that it has not yet solved together stay behind; it must not be used any more.
        """
        self.tracker = before.tracker
        self.tracker.options = self.options
        self._mountings = before._mountings
        self._searched_ns = before._searched_ns
        self._stamps_ns = before._stamps_ns

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
        odom_from_body: Odometry = None,
        body_from_camera: Array | None = None,
        camera_name: str = '',
        supposed: PoseEstimate | None = None,
    ) -> TrackedFrame:
        """
        Localize the next image, of one camera or of one of several that take turns.

        :param image: (H, W) grey or (H, W, 3) RGB.
        :param body_from_camera: (4, 4) mounting of the camera; None: the camera is the body.
        :param camera_name: which camera, where there are several on the body.

        The other parameters are those of :meth:`localize_moment`.
        """
        mounting = np.eye(4) if body_from_camera is None else body_from_camera
        mounted = MountedImage(image, camera, mounting, camera_name)
        return self.localize_moment(
            [mounted], stamp_ns, odom_from_body=odom_from_body, supposed=supposed
        )

    def localize_moment(
        self,
        images: Sequence[MountedImage],
        stamp_ns: int,
        *,
        odom_from_body: Odometry = None,
        supposed: PoseEstimate | None = None,
    ) -> TrackedFrame:
        """
        Localize the images that the cameras of a body took at one time, as one generalized camera.

        Those that show too little take no part; the others go on.

        :param images: at least one, of different cameras.
        :param stamp_ns: when they were taken; what is older than the last moment, or not newer
            than the last image of one of the cameras, changes nothing and is refused as stale.
        :param odom_from_body: (4, 4) from the odometry at that time, if there is any; or what gives
            it, which is asked after the features are extracted, so that waiting for it is free.
        :param supposed: where a person says that the body is at that time.
        """
        last_ns = self._go_back_to(stamp_ns)
        twice = any(self._stamps_ns.get(one.name) == stamp_ns for one in images)
        if twice or (last_ns is not None and stamp_ns < last_ns):
            stale = refused(Reason.STALE, {})
            return TrackedFrame(self.tracker.state, stale, False, Reason.STALE, None, None)
        self._stamps_ns.update({one.name: stamp_ns for one in images})
        jump = self._mountings.jump(images, stamp_ns)
        if jump:
            self.tracker.doubt()
            self._recent.clear()
        with self._threads:
            quick = self._quick_front_end if self._quick_look_suffices(stamp_ns) else None
            views, failed = self._search.prepare(images, quick)
            odometry = odom_from_body() if callable(odom_from_body) else odom_from_body
            self.tracker.advance(stamp_ns, odometry)
            if supposed is not None:
                self.tracker.suppose(supposed)
            prediction = self.tracker.prediction
            supposed_only = prediction is not None and not self.tracker.proven
            found = self._find(views, stamp_ns) if views else nothing(failed[0])
            found = dataclasses.replace(found, quick=found.quick and quick is not None)
            used = prediction if supposed_only or not found.everywhere else None
            recorded = RecordedMoment(
                stamp_ns,
                tuple(images),
                None if prediction is None else prediction.map_from_body,
                SearchContext(
                    None if used is None else used.covariance, found.quick, found.everywhere
                ),
                odometry,
            )
            found = self._with_those_before(found, recorded)
        verdict = self.tracker.correct(self._fix(found))
        if verdict in (Verdict.ENTERED, Verdict.JUMPED):
            self._recent.clear()
        mounting = views[0].body_from_camera if views else images[0].body_from_camera
        return dataclasses.replace(self._frame(found, verdict, mounting, recorded), doubt=jump)

    def _go_back_to(self, stamp_ns: int) -> int | None:
        """Undo what was carried on beyond an image that comes late; return the time before it."""
        late = self.tracker.stamp_ns is not None and stamp_ns < self.tracker.stamp_ns
        if self._at_last_image is not None and late:
            self.tracker = self._at_last_image
        self._at_last_image = None
        return self.tracker.stamp_ns

    def _quick_look_suffices(self, stamp_ns: int) -> bool:
        """Tell whether an image can be reduced: it is only looked at near a good prediction."""
        if self._searched_ns is None:
            return False  # who asks for the whole map is to get the best answer
        state = self.tracker.state
        return state is State.LOCALIZED or (state.has_pose and not self._search_due(stamp_ns))

    def _find(self, views: Sequence[MountedQuery], stamp_ns: int) -> Found:
        """Search near the prediction or everywhere, as the state asks for."""
        tracker = self.tracker
        prediction = tracker.prediction
        if prediction is None or not tracker.proven:
            return self._everywhere(views, stamp_ns, prediction)
        due = self._search_due(stamp_ns)
        asked = self._searched_ns is None
        if due and (asked or tracker.state is State.LOCALIZED):
            found = self._everywhere(views, stamp_ns)
            if found.body is not None:
                return found
            return self._search.near(views, prediction).knowing(found)
        near = self._search.near(views, prediction)
        if tracker.state is State.LOCALIZED and near.image.reason is Reason.UNPREDICTABLE:
            # A slow camera without odometry: each image has to be searched for.
            found = self._everywhere(self._whole(views), stamp_ns)
            return dataclasses.replace(found, quick=False)
        if (near.body is not None and not tracker.doubted) or not due:
            return near
        found = self._everywhere(views, stamp_ns)
        return found if found.body is not None or near.body is None else near.knowing(found)

    def _with_those_before(self, found: Found, recorded: RecordedMoment) -> Found:
        """Solve the moments since the last pose together where the newest is not enough."""
        fix = self._fix(found)
        enters = fix is not None and self.tracker.accepts(fix)
        if not self.options.use_window or enters or not found.everywhere or not found.mounted:
            return found
        self._recent.add(recorded, found)
        together = None if self._is_sure_enough() else self._recent.solve(found)
        return found if together is None else together

    def _is_sure_enough(self) -> bool:
        """Tell whether odometry can carry the pose on: solving a window takes its time."""
        carried = self.tracker.prediction
        if carried is None or not self.tracker.state.has_pose:
            return False
        options = self.options
        return (
            carried.position_sigma_m < _SURE * options.max_position_sigma_m
            and carried.rotation_sigma_deg < _SURE * options.max_rotation_sigma_deg
        )

    def _whole(self, quick: Sequence[MountedQuery]) -> list[MountedQuery]:
        """Prepare anew what was reduced for a quick look; what then fails stays as it was."""
        views = []
        for view in quick:
            query = self.localizer.prepare(view.query.image, view.query.camera)
            if not isinstance(query, Localization):
                view = dataclasses.replace(view, query=query)
            views.append(view)
        return views

    def _everywhere(
        self,
        views: Sequence[MountedQuery],
        stamp_ns: int,
        supposed: PoseEstimate | None = None,
    ) -> Found:
        """Search the whole map, and around a pose that a person supposes."""
        self._searched_ns = stamp_ns
        return self._search.everywhere(views, None if supposed is None else supposed.map_from_body)

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

    def _fix(self, found: Found) -> Fix | None:
        if found.body is None:
            return None
        by_network = self.localizer.matches_by_network
        return Fix(
            found.body,
            searched_everywhere=found.everywhere,
            strong=found.image.inliers >= self.options.strong_inliers and not by_network,
            witnesses=found.witnesses,
            since_ns=found.since_ns,
            by_network=by_network,
        )

    def _frame(
        self, found: Found, verdict: Verdict | None, mounting: Array, recorded: RecordedMoment
    ) -> TrackedFrame:
        body = self.tracker.published
        reason = found.image.reason
        if verdict in (Verdict.DISAGREES, Verdict.WAITS):
            reason = Reason.DISAGREES if verdict is Verdict.DISAGREES else Reason.UNCONFIRMED
        return TrackedFrame(
            state=self.tracker.state,
            image=found.image,
            entered=verdict in (Verdict.ENTERED, Verdict.JUMPED),
            reason=reason,
            body=body,
            camera=None if body is None else body.seen_from(mounting),
            cameras=found.cameras,
            images=found.images,
            recorded=recorded,
            earlier=found.earlier,
        )


_SURE = 0.5
"""A pose whose standard deviations are below this share of their bounds needs no window."""
