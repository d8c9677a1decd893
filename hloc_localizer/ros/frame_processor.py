"""From an image message to the pose of the robot, or to the reason why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.bundle import RecordedMoment
from hloc_localizer.localization.result import Reason
from hloc_localizer.localization.tracking import (
    MountedImage,
    PoseEstimate,
    State,
    WholeMapSearch,
)
from hloc_localizer.localization.tracking.whole_map_search import CameraFound
from hloc_localizer.ros import image_bridge, messages
from hloc_localizer.ros.frame_result import CameraPart, CameraView, FrameResult
from hloc_localizer.ros.stream import Stream
from hloc_localizer.ros.transform_lookup import TransformLookup

Array = NDArray[np.float64]

_POLL_S = 0.002


@dataclass(frozen=True)
class CameraOnRobot:
    """A camera as the node knows it."""

    name: str
    """Its image topic."""
    calibration: Callable[[], Camera]
    """Returns the present intrinsic calibration or raises InputError."""
    frame: str = ''
    """Its optical frame; empty takes it from each image's header."""


@dataclass(frozen=True)
class _Taken:
    """An image with all that is needed to localize it."""

    mounted: MountedImage
    stamp_ns: int
    frame_id: str


class _RefusedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class FrameProcessor:
    """
    Localize moment by moment: decode, find cameras and transforms, localize, move to the base.

    A picture that cannot be used gives a result with the reason, or stays out where another camera
    has one that can; nothing a sender can put into a message raises.
    """

    def __init__(
        self,
        *,
        localizer: Localizer,
        transforms_lookup: TransformLookup,
        cameras: Sequence[CameraOnRobot],
        base_frame: str,
        timeout_s: float = 0.1,
        stream: Stream | None = None,
    ) -> None:
        """
        Tie the parts together.

        :param stream: localizes images as one stream; None localizes each moment alone.
        :param timeout_s: how long to wait for a camera's calibration and for a transform.
        """
        self._search = WholeMapSearch(localizer)
        self._transforms = transforms_lookup
        self._cameras = cameras
        self._base_frame = base_frame
        self._timeout_s = timeout_s
        self._stream = stream

    @property
    def cameras(self) -> int:
        """How many cameras there are."""
        return len(self._cameras)

    @property
    def names(self) -> list[str]:
        """Their image topics."""
        return [camera.name for camera in self._cameras]

    def process(
        self,
        images: Mapping[int, Image | CompressedImage],
        prior: PoseEstimate | None = None,
    ) -> FrameResult:
        """
        Localize ``sensor_msgs/Image`` or ``CompressedImage`` messages of one moment.

        :param images: at least one, by the number of their camera.
        :param prior: where the base is believed to be, from a person.
        """
        clock = _StageClock()
        taken: list[_Taken] = []
        refusals: dict[str, _RefusedError] = {}
        for number, message in images.items():
            try:
                taken.append(self._take(self._cameras[number], message, clock))
            except _RefusedError as refusal:
                refusals[self._cameras[number].name] = refusal
        if taken:
            found = self._localize(taken, prior, clock)
        else:
            header, first = next(iter(images.values())).header, next(iter(refusals.values()))
            found = FrameResult(
                messages.stamp_to_ns(header.stamp),
                reason=first.reason,
                detail=str(first),
                stage_ms=clock.stage_ms,
            )
        if len(self._cameras) == 1:
            return replace(found, parts=())
        refused = (CameraPart(name, problem=str(error)) for name, error in refusals.items())
        return replace(found, parts=(*found.parts, *refused))

    def reset(self) -> None:
        """Forget the stream: time jumped back."""
        if self._stream is not None:
            self._stream.reset()

    def carry_on(self, stamp_ns: int) -> State | None:
        """Go on without an image that can be used: the state at a time; None without a stream."""
        return None if self._stream is None else self._stream.carry_on(stamp_ns)

    def search_next(self) -> None:
        """Search the whole map for the next image, whatever is predicted."""
        if self._stream is not None:
            self._stream.search_next()

    def _take(
        self, camera: CameraOnRobot, message: Image | CompressedImage, clock: _StageClock
    ) -> _Taken:
        """Decode an image and look up what belongs to it."""
        stamp_ns, frame_id = messages.stamp_to_ns(message.header.stamp), message.header.frame_id
        image = _decoded(message)
        clock.lap('decode')
        calibration = self._wait_for_camera(camera)
        _check_size(image, calibration)
        base_from_camera = self._base_from_camera(camera.frame or frame_id, stamp_ns)
        clock.lap('inputs')
        mounted = MountedImage(image, calibration, base_from_camera, camera.name)
        return _Taken(mounted, stamp_ns, frame_id)

    def _localize(
        self, taken: Sequence[_Taken], prior: PoseEstimate | None, clock: _StageClock
    ) -> FrameResult:
        stamp_ns = taken[0].stamp_ns
        if self._stream is not None:
            found = _as_part_of_stream(self._stream, stamp_ns, taken, prior)
        else:
            found = self._alone(stamp_ns, taken, prior)
        clock.lap('localize')
        localization = found.localization
        assert localization is not None
        used = next((view for view in found.views if view.seen is not None), found.views[0])
        camera_from_base = transforms.invert(used.mounted.body_from_camera)
        return replace(
            found,
            alternatives=tuple(a.seen_from(camera_from_base) for a in localization.alternatives),
            stage_ms={**clock.stage_ms, **localization.stage_ms},
        )

    def _alone(
        self, stamp_ns: int, taken: Sequence[_Taken], prior: PoseEstimate | None
    ) -> FrameResult:
        """Localize a moment without those before it."""
        images = tuple(one.mounted for one in taken)
        map_from_base = None if prior is None else prior.map_from_body
        searched = self._search.localize(images, map_from_base)
        found = _with_views(
            FrameResult(
                stamp_ns,
                localization=searched.image,
                images=searched.images,
                recorded=RecordedMoment(stamp_ns, images, map_from_base),
            ),
            images,
            [one.frame_id for one in taken],
            searched.cameras,
        )
        if searched.body is None:
            return _refused(found, searched.image.reason)
        return replace(
            found, map_from_base=searched.body.map_from_body, covariance=searched.body.covariance
        )

    def _wait_for_camera(self, camera: CameraOnRobot) -> Camera:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return camera.calibration()
            except InputError as error:
                if time.monotonic() >= deadline:
                    raise _RefusedError(Reason.NO_INTRINSICS, str(error)) from error
            time.sleep(_POLL_S)

    def _base_from_camera(self, camera_frame: str, stamp_ns: int) -> Array:
        if not camera_frame:
            raise _RefusedError(
                Reason.NO_TRANSFORM,
                'the image has no frame_id: set it, or the parameter camera_frame',
            )
        try:
            return self._transforms.lookup(
                self._base_frame, camera_frame, stamp_ns, self._timeout_s
            )
        except InputError as error:
            raise _RefusedError(Reason.NO_TRANSFORM, str(error)) from error


def _as_part_of_stream(
    stream: Stream, stamp_ns: int, taken: Sequence[_Taken], prior: PoseEstimate | None
) -> FrameResult:
    images = [
        replace(
            one.mounted,
            body_from_camera=stream.motion(stamp_ns, one.stamp_ns) @ one.mounted.body_from_camera,
        )
        for one in taken
    ]
    streamed = stream.localize(images, stamp_ns, supposed=prior)
    tracked = streamed.tracked
    found = _with_views(
        FrameResult(
            stamp_ns,
            localization=tracked.image,
            state=tracked.state,
            odom_from_base=streamed.odom_from_base,
            odometry_problem=streamed.odometry_problem,
            images=tracked.images,
            recorded=tracked.recorded,
            earlier=tracked.earlier,
        ),
        images,
        [one.frame_id for one in taken],
        tracked.cameras,
    )
    if tracked.body is not None:
        found = replace(
            found,
            map_from_base=tracked.body.map_from_body,
            covariance=tracked.body.covariance,
            bridged=not tracked.entered,
        )
    if tracked.entered:
        return found
    refused = _refused(found, tracked.reason)
    return replace(refused, detail='; '.join(filter(None, (refused.detail, tracked.doubt))))


def _with_views(
    found: FrameResult,
    images: Sequence[MountedImage],
    frames: Sequence[str],
    cameras: Sequence[CameraFound],
) -> FrameResult:
    """Add what each camera gave; one that shows too little is not among those that took part."""
    took_part = {one.name: one for one in cameras}
    problem = Reason.STALE.value if found.recorded is None else _TOO_LITTLE
    views, parts = [], []
    for mounted, frame in zip(images, frames, strict=True):
        one = took_part.get(mounted.name)
        if one is None:
            views.append(CameraView(mounted, frame))
            parts.append(CameraPart(mounted.name, problem=problem))
        else:
            views.append(CameraView(mounted, frame, one.seen, one.alone))
            parts.append(CameraPart(mounted.name, one.inliers))
    return replace(found, views=tuple(views), parts=tuple(parts))


_TOO_LITTLE = 'too few features'


def _decoded(message: Image | CompressedImage) -> NDArray[np.uint8]:
    try:
        if isinstance(message, CompressedImage):
            return image_bridge.decode_compressed(message)
        return image_bridge.decode_image(message)
    except InputError as error:
        raise _RefusedError(Reason.CORRUPT_IMAGE, str(error)) from error


def _refused(found: FrameResult, reason: Reason) -> FrameResult:
    assert found.localization is not None
    counts = f'{found.localization.matches} matches, {found.localization.inliers} inliers'
    return replace(found, reason=reason, detail=f'{reason.value}: {counts}')


def _check_size(image: NDArray[np.uint8], camera: Camera) -> None:
    height, width = image.shape[:2]
    if (width, height) != camera.image_size:
        raise _RefusedError(
            Reason.CAMERA_DIFFERS,
            f'images are {width}x{height} but camera_info is for {camera.width}x{camera.height}: '
            'give the calibration of these images',
        )


class _StageClock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.stage_ms: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.stage_ms[stage] = (now - self._last) * 1e3
        self._last = now
