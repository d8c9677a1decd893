"""A robot that drives along x, and what its images tell, without any image."""

from __future__ import annotations

import numpy as np

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.tracking import (
    Fix,
    PoseEstimate,
    PoseTracker,
    TrackingOptions,
    Verdict,
)

SECOND = 1_000_000_000
STEP = SECOND // 5
OPTIONS = TrackingOptions()


def pose(x: float, yaw_deg: float = 0.0, y: float = 0.0) -> np.ndarray:
    rotation = transforms.rotation_from_rotvec([0.0, 0.0, np.radians(yaw_deg)])
    return transforms.transform_from(rotation, [x, y, 0.0])


def fix(
    where: np.ndarray, *, everywhere: bool = True, strong: bool = True, sigma: float = 0.02
) -> Fix:
    covariance = np.diag(np.repeat([sigma, np.radians(25.0 * sigma)], 3) ** 2)
    return Fix(PoseEstimate(where, covariance), everywhere, strong)


class Robot:
    """Drives along x with perfect odometry that starts somewhere else."""

    def __init__(self, options: TrackingOptions = OPTIONS) -> None:
        self.tracker = PoseTracker(options)
        self.map_from_odom = pose(7.0, 30.0, -2.0)
        self.x = 0.0
        self.stamp_ns = 100 * SECOND

    @property
    def truth(self) -> np.ndarray:
        return pose(self.x, 0.3 * self.x)

    def step(
        self, found: Fix | None, metres: float = 0.1, *, odometry: bool = True
    ) -> Verdict | None:
        self.x += metres
        self.stamp_ns += STEP
        odom = transforms.invert(self.map_from_odom) @ self.truth
        assert self.tracker.advance(self.stamp_ns, odom if odometry else None)
        return self.tracker.correct(found)

    def good(self) -> Verdict | None:
        return self.step(fix(pose(self.x + 0.1, 0.3 * (self.x + 0.1))))

    def error_m(self) -> float:
        assert self.tracker.published is not None
        return float(transforms.pose_distance(self.tracker.published.map_from_body, self.truth)[0])
