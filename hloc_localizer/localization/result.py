"""The result of localizing one image, as a caller sees it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


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
    STALE = 'stale'
    INTERNAL_ERROR = 'internal error'


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
