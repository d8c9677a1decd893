"""From an image message to the pose of the robot, or to the reason why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import moved_along_body
from hloc_localizer.localization.result import Localization, Reason
from hloc_localizer.localization.tracking import PoseEstimate, State
from hloc_localizer.ros import image_bridge, messages

if TYPE_CHECKING:
    from hloc_localizer.ros.stream import Stream

Array = NDArray[np.float64]

_POLL_S = 0.002


class ImageLocalizer(Protocol):
    """What localizes one image: :class:`~hloc_localizer.localization.Localizer`."""

    def localize(
        self, image: NDArray[np.uint8], camera: Camera, prior: Array | None = None
    ) -> Localization:
        """Localize an image; the prior is ``map_from_camera`` (4, 4)."""
        ...


class TransformLookup(Protocol):
    """Where the node asks for transforms."""

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> Array:
        """
        Return ``target_from_source`` (4, 4) at a stamp.

        :raises InputError: naming the link, when it is not there after the timeout.
        """
        ...


@dataclass(frozen=True)
class FrameResult:
    """What became of one image."""

    stamp_ns: int
    """Capture time."""
    reason: Reason = Reason.NONE
    """Why there is no pose; NONE when there is one."""
    detail: str = ''
    """One line for a person: what is wrong and what to do."""
    localization: Localization | None = None
    """None when the image did not get as far as the localizer."""
    map_from_base: Array | None = None
    """(4, 4), present exactly when there is a pose to publish."""
    covariance: Array | None = None
    """(6, 6) of ``map_from_base``: x y z and rotations about the fixed map axes."""
    image: NDArray[np.uint8] | None = None
    """(H, W) grey or (H, W, 3) RGB."""
    image_frame: str = ''
    """``frame_id`` of the image."""
    camera: Camera | None = None
    prior: Array | None = None
    """(4, 4) ``map_from_camera`` that the localizer was given."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of each stage, the localizer's among them."""
    state: State | None = None
    """State of the tracker; None without one, or when the image did not get as far."""
    bridged: bool = False
    """Whether the pose is carried by odometry, because the image gave none that could enter."""
    odom_from_base: Array | None = None
    """(4, 4) at the stamp, where it is known already."""
    odometry_problem: str = ''
    """Why it is not known."""

    @property
    def localized(self) -> bool:
        """Whether there is a pose."""
        return self.map_from_base is not None

    @property
    def inliers(self) -> int:
        """How many matches agree with the pose."""
        return 0 if self.localization is None else self.localization.inliers


class _RefusedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class FrameProcessor:
    """
    Localize images one at a time: decode, find camera and transforms, localize, move to the base.

    A picture that cannot be used gives a result with the reason; nothing a sender can put into a
    message raises.
    """

    def __init__(
        self,
        *,
        localizer: ImageLocalizer,
        transforms_lookup: TransformLookup,
        camera: Callable[[], Camera],
        base_frame: str,
        camera_frame: str = '',
        timeout_s: float = 0.1,
        stream: Stream | None = None,
    ) -> None:
        """
        Tie the parts together.

        :param stream: localizes images as one stream; None localizes each alone.
        :param camera: returns the present intrinsic calibration or raises InputError.
        :param camera_frame: the optical frame; empty takes it from each image's header.
        :param timeout_s: how long to wait for the camera and for a transform.
        """
        self._localizer = localizer
        self._transforms = transforms_lookup
        self._camera = camera
        self._base_frame = base_frame
        self._camera_frame = camera_frame
        self._timeout_s = timeout_s
        self._stream = stream

    def process(
        self, message: Image | CompressedImage, prior: PoseEstimate | None = None
    ) -> FrameResult:
        """
        Localize one ``sensor_msgs/Image`` or ``CompressedImage``.

        :param prior: where the base is believed to be, from a person.
        """
        stamp_ns = messages.stamp_to_ns(message.header.stamp)
        clock = _StageClock()
        try:
            return self._process(message, stamp_ns, prior, clock)
        except _RefusedError as refusal:
            return FrameResult(
                stamp_ns, reason=refusal.reason, detail=str(refusal), stage_ms=clock.stage_ms
            )

    def reset(self) -> None:
        """Forget the stream: time jumped back."""
        if self._stream is not None:
            self._stream.reset()

    def search_next(self) -> None:
        """Search the whole map for the next image, whatever is predicted."""
        if self._stream is not None:
            self._stream.search_next()

    def _process(
        self,
        message: Image | CompressedImage,
        stamp_ns: int,
        prior: PoseEstimate | None,
        clock: _StageClock,
    ) -> FrameResult:
        image = _decoded(message)
        clock.lap('decode')
        camera = self._wait_for_camera()
        _check_size(image, camera)
        base_from_camera = self._base_from_camera(message.header.frame_id, stamp_ns)
        clock.lap('inputs')
        found = FrameResult(
            stamp_ns, image=image, image_frame=message.header.frame_id, camera=camera
        )
        if self._stream is not None:
            found = self._as_part_of_stream(self._stream, found, base_from_camera, prior)
        else:
            found = self._alone(found, base_from_camera, prior)
        clock.lap('localize')
        assert found.localization is not None
        return replace(found, stage_ms={**clock.stage_ms, **found.localization.stage_ms})

    def _alone(
        self, found: FrameResult, base_from_camera: Array, prior: PoseEstimate | None
    ) -> FrameResult:
        assert found.image is not None
        assert found.camera is not None
        map_from_camera_prior = None if prior is None else prior.map_from_body @ base_from_camera
        localization = self._localizer.localize(found.image, found.camera, map_from_camera_prior)
        found = replace(found, localization=localization, prior=map_from_camera_prior)
        if localization.map_from_camera is None or localization.covariance is None:
            return _refused(found, localization.reason)
        map_from_camera = localization.map_from_camera
        map_from_base = map_from_camera @ transforms.invert(base_from_camera)
        return replace(
            found,
            map_from_base=map_from_base,
            covariance=moved_along_body(localization.covariance, map_from_camera, map_from_base),
        )

    @staticmethod
    def _as_part_of_stream(
        stream: Stream, found: FrameResult, base_from_camera: Array, prior: PoseEstimate | None
    ) -> FrameResult:
        assert found.image is not None
        assert found.camera is not None
        streamed = stream.localize(
            found.image,
            found.camera,
            found.stamp_ns,
            base_from_camera=base_from_camera,
            camera_name=found.image_frame,
            supposed=prior,
        )
        tracked = streamed.tracked
        found = replace(
            found,
            localization=tracked.image,
            state=tracked.state,
            prior=tracked.prior,
            odom_from_base=streamed.odom_from_base,
            odometry_problem=streamed.odometry_problem,
        )
        if tracked.body is not None:
            found = replace(
                found,
                map_from_base=tracked.body.map_from_body,
                covariance=tracked.body.covariance,
                bridged=not tracked.entered,
            )
        return found if tracked.entered else _refused(found, tracked.reason)

    def _wait_for_camera(self) -> Camera:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return self._camera()
            except InputError as error:
                if time.monotonic() >= deadline:
                    raise _RefusedError(Reason.NO_INTRINSICS, str(error)) from error
            time.sleep(_POLL_S)

    def _base_from_camera(self, frame_id: str, stamp_ns: int) -> Array:
        camera_frame = self._camera_frame or frame_id
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
