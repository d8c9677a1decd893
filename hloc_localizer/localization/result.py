"""The result of localizing one image, as a caller sees it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.covariance import moved_along_body


class Status(enum.Enum):
    """Whether the image was localized."""

    LOCALIZED = 'localized'
    REFUSED = 'refused'


class Reason(enum.Enum):
    """
    Why an image was refused: the one list that results, ``~/status`` and diagnostics speak of.

    The first group is of the image and the map, the second of what comes with an image on a robot.
    """

    NONE = 'none'
    NO_TEXTURE = 'no texture'
    BLURRED = 'blurred'
    BADLY_EXPOSED = 'too dark or too bright'
    NOTHING_RETRIEVED = 'nothing retrieved'
    FEW_MATCHES = 'few matches'
    FEW_INLIERS = 'few inliers'
    POOR_SPREAD = 'poor spread'
    UNCERTAIN = 'uncertain pose'
    CONTRADICTED = 'contradicted by the map'
    AMBIGUOUS = 'ambiguous'
    CAMERA_DIFFERS = 'camera differs from the image'
    DISAGREES = 'disagrees with the prediction'
    UNCONFIRMED = 'not confirmed by a second image yet'
    NOTHING_IN_VIEW = 'nothing of the map in view'
    UNPREDICTABLE = 'prediction too uncertain'

    CORRUPT_IMAGE = 'corrupt image'
    NO_INTRINSICS = 'no intrinsics'
    NO_TRANSFORM = 'transform missing'
    NO_STAMP = 'no stamp'
    STALE = 'stale'
    INTERNAL_ERROR = 'internal error'


def _of_other_frame(
    map_from_body: NDArray[np.float64],
    covariance: NDArray[np.float64],
    body_from_other: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pose and covariance of a frame that is rigidly tied to a body."""
    pose = map_from_body @ body_from_other
    return pose, moved_along_body(covariance, map_from_body, pose)


@dataclass(frozen=True)
class Alternative:
    """One of the poses that an ambiguous place allows."""

    pose: NDArray[np.float64]
    """(4, 4) of the camera, or of the rig, in the map."""
    covariance: NDArray[np.float64]
    """(6, 6)."""
    distinct: int
    """How many matches that stood out from all others agree with it."""

    def seen_from(self, body_from_other: NDArray[np.float64]) -> Alternative:
        """Return the same for another frame that is rigidly tied to the one that it is of."""
        pose, covariance = _of_other_frame(self.pose, self.covariance, body_from_other)
        return Alternative(pose, covariance, self.distinct)


@dataclass(frozen=True)
class Localization:
    """One image localized, or refused with a reason. An unaccepted pose is never in here."""

    status: Status
    reason: Reason
    map_from_camera: NDArray[np.float64] | None
    """(4, 4) pose of the optical frame in the map; None when refused."""
    covariance: NDArray[np.float64] | None
    """(6, 6) of x y z (metres) and rotations about the fixed map axes x y z (radians)."""
    inliers: int
    matches: int
    candidates: tuple[str, ...]
    """Names of the retrieved map images, best first."""
    retrieval_scores: tuple[float, ...] = ()
    retrieval_margin: float | None = None
    """How far the best score is above that of any map image of another place; None without one."""
    keypoints: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    """(M, 2) pixels of the matched query keypoints."""
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    """(M, 3) the map points they are matched to."""
    alternatives: tuple[Alternative, ...] = ()
    """When the place is ambiguous: all poses that it allows, the likeliest first."""
    success_probability: float | None = None
    """Of the best pose that was found, accepted or not; None where the map is not calibrated."""
    inlier_mask: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """(M,) which of them agree with the pose."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds spent in each stage: extract, retrieve, match, pose, refine, accept; total."""

    @property
    def localized(self) -> bool:
        """Whether there is a pose."""
        return self.status is Status.LOCALIZED


def refused(reason: Reason, stage_ms: Mapping[str, float]) -> Localization:
    """Return the result of an image that is refused before there is any pose."""
    return Localization(
        status=Status.REFUSED,
        reason=reason,
        map_from_camera=None,
        covariance=None,
        inliers=0,
        matches=0,
        candidates=(),
        stage_ms=stage_ms,
    )


@dataclass(frozen=True)
class JointLocalization:
    """Several images localized as one, or refused with a reason."""

    status: Status
    reason: Reason
    map_from_rig: NDArray[np.float64] | None
    """(4, 4) pose of the rig at the newest moment; None when refused."""
    covariance: NDArray[np.float64] | None
    """(6, 6) of x y z (metres) and rotations about the fixed map axes x y z (radians)."""
    inliers: int
    """Map points that agree, each counted once."""
    distinct: int
    """Those whose match stood out from all others before a pose was known."""
    images: int
    """How many images took part."""
    distinct_by_moment: tuple[int, ...] = ()
    """``distinct`` at each moment that took part, oldest first; several may show one point."""
    keypoints: tuple[NDArray[np.float32], ...] = ()
    """For each image of the newest moment (M, 2) pixels of the keypoints that agree."""
    points: tuple[NDArray[np.float64], ...] = ()
    """For each of them (M, 3) the map points that those show."""
    alternatives: tuple[Alternative, ...] = ()
    """When the place is ambiguous: all poses that it allows, the likeliest first."""
    success_probability: float | None = None
    """Of the best pose that was found, accepted or not; None where the map is not calibrated."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def localized(self) -> bool:
        """Whether there is a pose."""
        return self.status is Status.LOCALIZED

    def of_camera(self, index: int, rig_from_camera: NDArray[np.float64]) -> Localization:
        """
        Return the result for one of the cameras; what is counted is of all images.

        :param index: of its image at the newest moment.
        :param rig_from_camera: (4, 4).
        """
        pose = covariance = None
        if self.map_from_rig is not None and self.covariance is not None:
            pose, covariance = _of_other_frame(self.map_from_rig, self.covariance, rig_from_camera)
        pixels = self.keypoints[index] if self.keypoints else np.zeros((0, 2), np.float32)
        return Localization(
            status=self.status,
            reason=self.reason,
            map_from_camera=pose,
            covariance=covariance,
            inliers=self.inliers,
            matches=self.inliers,
            candidates=(),
            keypoints=pixels,
            points=self.points[index] if self.points else np.zeros((0, 3)),
            inlier_mask=np.ones(len(pixels), np.bool_),
            alternatives=tuple(one.seen_from(rig_from_camera) for one in self.alternatives),
            success_probability=self.success_probability,
            stage_ms=self.stage_ms,
        )
