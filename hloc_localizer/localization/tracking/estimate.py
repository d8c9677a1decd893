"""A pose with its covariance: moved by odometry, compared with another one, corrected by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.covariance import moved_along_body, pose_error
from hloc_localizer.localization.tracking.options import DriftOptions

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PoseEstimate:
    """Where a body is in the map, and how well that is known."""

    map_from_body: Array
    """(4, 4)."""
    covariance: Array
    """(6, 6) of x y z (metres) and rotations about the fixed map axes (radians)."""

    @property
    def position_sigma_m(self) -> float:
        """Standard deviation of the position along its least certain direction."""
        return float(np.sqrt(np.linalg.eigvalsh(self.covariance[:3, :3])[-1]))

    @property
    def rotation_sigma_deg(self) -> float:
        """Standard deviation of the rotation about its least certain axis."""
        return float(np.degrees(np.sqrt(np.linalg.eigvalsh(self.covariance[3:, 3:])[-1])))

    def moved(self, old_from_new: Array, noise: Array) -> PoseEstimate:
        """
        Return the estimate after a motion.

        :param old_from_new: (4, 4) the motion, in the body's own frame.
        :param noise: (6,) variances that it adds about the axes of the map.
        """
        pose = self.map_from_body @ old_from_new
        covariance = moved_along_body(self.covariance, self.map_from_body, pose)
        return PoseEstimate(_orthonormal(pose), covariance + np.diag(noise))

    def seen_from(self, body_from_other: Array) -> PoseEstimate:
        """Return the estimate for another frame that is rigidly tied to the body."""
        pose = self.map_from_body @ body_from_other
        return PoseEstimate(pose, moved_along_body(self.covariance, self.map_from_body, pose))

    def squared_distance(self, other: PoseEstimate) -> float:
        """Return the squared Mahalanobis distance of two independent estimates of one pose."""
        error = pose_error(other.map_from_body, self.map_from_body)
        distance = error @ np.linalg.solve(self.covariance + other.covariance, error)
        return float(distance)

    def covering(self, other: PoseEstimate) -> PoseEstimate:
        """Return the estimate with a covariance that is true, whichever of both is the truth."""
        error = pose_error(other.map_from_body, self.map_from_body)
        covariance = self.covariance + other.covariance + np.outer(error, error)
        return PoseEstimate(self.map_from_body, covariance)

    def corrected(self, measured: PoseEstimate) -> PoseEstimate:
        """
        Return the estimate after a measurement of the whole pose.

        A Kalman filter on the error of the pose (``p + dp``, ``exp(dr) R``), whose measurement
        matrix is the identity; the covariance in Joseph's form stays positive definite.
        """
        prior, noise = self.covariance, measured.covariance
        error = pose_error(measured.map_from_body, self.map_from_body)
        gain = np.linalg.solve(prior + noise, prior).T
        step = gain @ error
        rotation = transforms.rotation_from_rotvec(step[3:]) @ self.map_from_body[:3, :3]
        rest = np.eye(6) - gain
        covariance = rest @ prior @ rest.T + gain @ noise @ gain.T
        return PoseEstimate(
            _orthonormal(transforms.transform_from(rotation, self.map_from_body[:3, 3] + step[:3])),
            0.5 * (covariance + covariance.T),
        )


def motion_noise(old_from_new: Array, seconds: float, options: DriftOptions) -> Array:
    """
    Return the variances (6,) that a motion known from odometry adds.

    :param old_from_new: (4, 4) the motion.
    """
    metres = float(np.linalg.norm(old_from_new[:3, 3]))
    radians = float(transforms.rotation_angle(old_from_new[:3, :3]))
    extent = np.array([metres, radians, seconds])
    position = [options.position_after_1m, options.position_after_1rad, options.position_after_1s]
    rotation = np.radians(
        [
            options.rotation_after_1m_deg,
            options.rotation_after_1rad_deg,
            options.rotation_after_1s_deg,
        ]
    )
    return np.repeat([np.square(position) @ extent, np.square(rotation) @ extent], 3)


def unknown_motion_noise(since_s: float, until_s: float, options: DriftOptions) -> Array:
    """
    Return the variances (6,) that an interval adds where there is no odometry.

    The way grows with time, as that of a body that keeps its unknown velocity.

    :param since_s: begin of the interval, counted from when the pose was last known.
    :param until_s: its end.
    """
    velocity = [
        options.unknown_position_after_1s,
        np.radians(options.unknown_rotation_after_1s_deg),
    ]
    return np.repeat(np.square(velocity) * (until_s**2 - since_s**2), 3)


def is_plausible(old_from_new: Array, seconds: float, options: DriftOptions) -> bool:
    """Tell whether a motion can be one: odometry that begins anew jumps."""
    metres = float(np.linalg.norm(old_from_new[:3, 3]))
    degrees = float(np.degrees(transforms.rotation_angle(old_from_new[:3, :3])))
    slowly = metres <= options.max_speed * seconds
    return slowly and degrees <= min(options.max_turn_rate_deg * seconds, 180.0)


def _orthonormal(pose: Array) -> Array:
    """Return the pose without the rounding errors that many products heap up."""
    quaternion = transforms.quaternion_from_rotation(pose[:3, :3])
    return transforms.transform_from(transforms.rotation_from_quaternion(quaternion), pose[:3, 3])
