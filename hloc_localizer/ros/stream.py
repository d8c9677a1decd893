"""The images of the node as one stream, with the odometry of TF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.localization.tracking import (
    MountedImage,
    PoseEstimate,
    State,
    TrackedFrame,
    TrackingLocalizer,
)
from hloc_localizer.localization.tracking.estimate import is_plausible
from hloc_localizer.ros.transform_lookup import TransformLookup

Array = NDArray[np.float64]

_PATIENCE = 3
"""Images in a row without odometry after which it is waited for only now and then: ..."""

_RETRY = 10
"""... at every tenth image."""


@dataclass(frozen=True)
class StreamedFrame:
    """What the tracker knows at an image, and the odometry it was given."""

    tracked: TrackedFrame
    odom_from_base: Array | None
    """(4, 4) at the stamp of the image."""
    odometry_problem: str
    """Why there is none; else empty."""


class Stream:
    """Hands images to the tracker, each with the odometry at its stamp."""

    def __init__(
        self,
        *,
        localizer: TrackingLocalizer,
        transforms_lookup: TransformLookup,
        odom_frame: str,
        base_frame: str,
        timeout_s: float,
    ) -> None:
        """
        Begin without a pose.

        :param timeout_s: how long the odometry of an image is waited for. A robot that has none is
            not made to wait for it at each image.
        """
        self._localizer = localizer
        self._drift = localizer.options.drift
        self._transforms = transforms_lookup
        self._odom_frame = odom_frame
        self._base_frame = base_frame
        self._timeout_s = timeout_s
        self._missed = 0

    def reset(self) -> None:
        """Begin anew: time jumped back."""
        self._localizer.reset()

    def take_over(self, before: Stream) -> None:
        """Go on where another one was in the same map."""
        self._localizer.take_over(before._localizer)
        self._missed = before._missed

    def search_next(self) -> None:
        """Search the whole map for the next image."""
        self._localizer.search_next()

    def carry_on(self, stamp_ns: int) -> State:
        """Go on without an image that can be used, and tell the state at a time."""
        try:
            found = self._transforms.lookup(self._odom_frame, self._base_frame, stamp_ns, 0.0)
        except InputError:
            return self._localizer.carry_on(stamp_ns)
        return self._localizer.carry_on(stamp_ns, found)

    def motion(self, from_ns: int, to_ns: int) -> Array:
        """
        Return how the base moved between two stamps: (4, 4) ``earlier_from_later`` base.

        The identity where odometry does not tell it, or tells what no robot can do.
        """
        if from_ns == to_ns:
            return np.eye(4)
        try:
            before, after = (self._odom_from_base(stamp_ns) for stamp_ns in (from_ns, to_ns))
        except InputError:
            return np.eye(4)
        motion = transforms.invert(before) @ after
        seconds = abs(to_ns - from_ns) * 1e-9
        return motion if is_plausible(motion, seconds, self._drift) else np.eye(4)

    def localize(
        self,
        images: Sequence[MountedImage],
        stamp_ns: int,
        *,
        supposed: PoseEstimate | None = None,
    ) -> StreamedFrame:
        """
        Localize the images of the next moment.

        :param supposed: where a person says that the base is.
        """
        given: list[Array] = []
        problem = ''

        def odometry() -> Array | None:
            nonlocal problem
            try:
                given.append(self._odom_from_base(stamp_ns))
            except InputError as error:
                problem = str(error)
                return None
            return given[0]

        tracked = self._localizer.localize_moment(
            images, stamp_ns, odom_from_body=odometry, supposed=supposed
        )
        return StreamedFrame(tracked, given[0] if given else None, problem)

    def _odom_from_base(self, stamp_ns: int) -> Array:
        patient = self._missed < _PATIENCE or self._missed % _RETRY == 0
        timeout_s = self._timeout_s if patient else 0.0
        try:
            found = self._transforms.lookup(self._odom_frame, self._base_frame, stamp_ns, timeout_s)
        except InputError:
            self._missed += 1
            raise
        self._missed = 0
        return found
