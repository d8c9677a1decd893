"""Searches the whole map with all images of one moment: one alone, or those of a rig together."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.geometry import transforms
from hloc_localizer.localization.bundle import RecordedMoment
from hloc_localizer.localization.joint import JointLocalizer
from hloc_localizer.localization.localizer import Localizer, Query
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.localization.observation import Observation
from hloc_localizer.localization.result import JointLocalization, Localization, Reason
from hloc_localizer.localization.tracking.estimate import PoseEstimate
from hloc_localizer.localization.window import MountedObservation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MountedQuery:
    """An image of a moment that can be searched for."""

    name: str
    query: Query
    body_from_camera: Array


@dataclass(frozen=True)
class CameraFound:
    """What one camera has to do with what was found."""

    name: str
    seen: Localization
    """What was found, as this camera sees it; what is counted is of all cameras."""
    alone: Localization | None
    """What its image gave by itself; None where it was not asked."""

    @property
    def inliers(self) -> int:
        """How many of its own matches agree."""
        return int(np.count_nonzero(self.seen.inlier_mask))


@dataclass(frozen=True)
class Found:
    """What the images of a moment gave."""

    image: Localization
    """As the first camera that took part sees it; what is counted is of all of them."""
    body: PoseEstimate | None
    """The pose of the body, where there is one."""
    everywhere: bool
    """Whether the whole map was searched."""
    cameras: tuple[CameraFound, ...] = ()
    """Each that took part."""
    mounted: tuple[MountedObservation, ...] = ()
    """What the images matched in the whole map, where it was searched."""
    images: int = 1
    """How many images were solved together."""
    quick: bool = True
    """Whether reduced images were enough for it, where there were such."""
    witnesses: int = 1
    """As how many single images they count."""
    since_ns: int | None = None
    """Stamp of the oldest of them, where they are of several moments."""
    earlier: tuple[RecordedMoment, ...] | None = ()
    """Those moments but the newest, to be searched for again; None: too large to be remembered."""

    def knowing(self, other: Found) -> Found:
        """Return the same, with what each image of the moment gave alone in another search."""
        alone = {one.name: one.alone for one in other.cameras}
        cameras = tuple(
            dataclasses.replace(one, alone=one.alone or alone.get(one.name)) for one in self.cameras
        )
        return dataclasses.replace(self, cameras=cameras)


class WholeMapSearch:
    """Finds where the body is, from nothing but what its cameras see now."""

    def __init__(self, localizer: Localizer) -> None:
        """Prepare for the map of a localizer."""
        self._localizer = localizer
        self._joint = JointLocalizer(localizer)

    def prepare(
        self, images: Sequence[MountedImage], front_end: FrontEnd | None = None
    ) -> tuple[list[MountedQuery], list[Localization]]:
        """
        Extract features; return also the refusals of images that show too little.

        :param front_end: as for :meth:`Localizer.prepare`.
        """
        views, failed = [], []
        for one in images:
            query = self._localizer.prepare(one.image, one.camera, front_end)
            if isinstance(query, Localization):
                failed.append(query)
            else:
                views.append(MountedQuery(one.name, query, one.body_from_camera))
        return views, failed

    def localize(self, images: Sequence[MountedImage], map_from_body: Array | None = None) -> Found:
        """
        Prepare and search.

        :param images: at least one; those that show too little take no part.
        :param map_from_body: (4, 4) where the body may be: that place is tried, too.
        """
        with self._localizer.threads:
            views, failed = self.prepare(images)
            return self.everywhere(views, map_from_body) if views else nothing(failed[0])

    def everywhere(
        self, views: Sequence[MountedQuery], map_from_body: Array | None = None
    ) -> Found:
        """Search the whole map, and the place where the body is supposed to be."""
        examined = [self._examined(view, map_from_body) for view in views]
        mounted = tuple(
            MountedObservation(observation, view.body_from_camera)
            for view, (_, observation) in zip(views, examined, strict=True)
        )
        first = examined[0][0]
        if len(views) == 1:
            return dataclasses.replace(alone(views[0], first, everywhere=True), mounted=mounted)
        joint = self._joint.localize_moment(mounted)
        reason = joint.reason
        if reason is Reason.FEW_INLIERS and not first.localized:
            reason = first.reason  # it may know what is behind that
        singles = [single for single, _ in examined]
        stage_ms = added([*(single.stage_ms for single in singles), joint.stage_ms])
        cameras = tuple(
            CameraFound(view.name, _seen(joint, number, view, singles, reason, stage_ms), single)
            for number, (view, single) in enumerate(zip(views, singles, strict=True))
        )
        return Found(
            cameras[0].seen, body_of(joint), True, cameras, mounted=mounted, images=joint.images
        )

    def _examined(
        self, view: MountedQuery, map_from_body: Array | None
    ) -> tuple[Localization, Observation]:
        prior = None if map_from_body is None else map_from_body @ view.body_from_camera
        return self._localizer.examine(view.query, prior)


def nothing(failed: Localization) -> Found:
    """Return what images gave that could not be searched for, the first of them as refused."""
    return Found(failed, None, False)


def alone(view: MountedQuery, image: Localization, *, everywhere: bool) -> Found:
    """Return what the only image of a moment gave."""
    body = None
    if image.map_from_camera is not None and image.covariance is not None:
        camera = PoseEstimate(image.map_from_camera, image.covariance)
        body = camera.seen_from(transforms.invert(view.body_from_camera))
    return Found(image, body, everywhere, (CameraFound(view.name, image, image),))


def body_of(joint: JointLocalization) -> PoseEstimate | None:
    """Return the pose of the rig with its covariance, if there is one."""
    if joint.map_from_rig is None or joint.covariance is None:
        return None
    return PoseEstimate(joint.map_from_rig, joint.covariance)


def added(stages: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the milliseconds of each stage over all images."""
    total: Counter[str] = Counter()
    for one in stages:
        total.update(one)
    return dict(total)


def _seen(
    joint: JointLocalization,
    number: int,
    view: MountedQuery,
    singles: Sequence[Localization],
    reason: Reason,
    stage_ms: Mapping[str, float],
) -> Localization:
    single = singles[number]
    return dataclasses.replace(
        joint.of_camera(number, view.body_from_camera),
        reason=reason,
        matches=sum(one.matches for one in singles),
        candidates=single.candidates,
        retrieval_scores=single.retrieval_scores,
        retrieval_margin=single.retrieval_margin,
        stage_ms=stage_ms,
    )
