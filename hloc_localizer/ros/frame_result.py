"""What became of the images of one moment, as the node hands it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.bundle import RecordedMoment
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.localization.result import Alternative, Localization, Reason
from hloc_localizer.localization.tracking import State

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CameraPart:
    """What one of several cameras contributed to a moment."""

    name: str
    """Its image topic."""
    inliers: int = 0
    problem: str = ''
    """Why its image was not used; empty when it was."""


@dataclass(frozen=True)
class CameraView:
    """An image that could be used, and what one knows of it now."""

    mounted: MountedImage
    """``body_from_camera`` is of the base at the stamp of the result."""
    frame: str
    """``frame_id`` of the image."""
    seen: Localization | None = None
    """What was found, as this camera sees it; None when its image shows too little."""
    alone: Localization | None = None
    """What the image gave by itself; None where it was not asked."""


@dataclass(frozen=True)
class FrameResult:
    """What became of one image, or of those that several cameras took at one time."""

    stamp_ns: int
    """Capture time."""
    reason: Reason = Reason.NONE
    """Why there is no pose; NONE when there is one."""
    detail: str = ''
    """One line for a person: what is wrong and what to do."""
    localization: Localization | None = None
    """None when no image got as far as the localizer; of several cameras, as the first that took
    part sees it."""
    map_from_base: Array | None = None
    """(4, 4), present exactly when there is a pose to publish."""
    covariance: Array | None = None
    """(6, 6) of ``map_from_base``: x y z and rotations about the fixed map axes."""
    alternatives: tuple[Alternative, ...] = ()
    """The poses of the base that an ambiguous place allows, the likeliest first."""
    views: tuple[CameraView, ...] = ()
    """The images that got as far as the localizer."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of each stage, the localizer's among them."""
    state: State | None = None
    """State of the tracker, also after images that could not be used; None without one, before the
    first image that got as far, and for an image that was not looked at because of its stamp."""
    bridged: bool = False
    """Whether the pose is carried by odometry, because no image gave one that could enter."""
    odom_from_base: Array | None = None
    """(4, 4) at the stamp, where it is known already."""
    odometry_problem: str = ''
    """Why it is not known."""
    recorded: RecordedMoment | None = None
    """All that the localizer was given, to be localized again; None when that was nothing."""
    earlier: tuple[RecordedMoment, ...] | None = ()
    """The moments that were solved together with it; None: too large to be remembered."""
    images: int = 1
    """How many images were solved together, those of other cameras and moments among them."""
    calibration_doubt: str = ''
    """What looks wrong with the calibration of a camera; empty when nothing does."""
    parts: tuple[CameraPart, ...] = ()
    """What each of several cameras contributed; empty where there is one camera."""

    @property
    def localized(self) -> bool:
        """Whether there is a pose."""
        return self.map_from_base is not None

    @property
    def measured(self) -> Array | None:
        """Return the pose (4, 4) of the base that the images gave, before any filter."""
        for view in self.views:
            if view.seen is not None and view.seen.map_from_camera is not None:
                return view.seen.map_from_camera @ transforms.invert(view.mounted.body_from_camera)
        return None

    @property
    def inliers(self) -> int:
        """How many matches agree with the pose."""
        return 0 if self.localization is None else self.localization.inliers
