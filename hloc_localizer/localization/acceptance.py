"""Whether a pose may be published: an inlier count alone is no proof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.geometry.absolute_pose import RefinedPose
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.options import AcceptanceOptions
from hloc_localizer.localization.result import Reason

_GRID = (8, 6)


@dataclass(frozen=True)
class Evidence:
    """What speaks for a pose."""

    inliers: int
    distinct: int
    """Those of the matches that stood out from all others before a pose was known: unlike the
    inliers, which were looked for where the pose put them, they are independent of it."""
    spread: float
    """Area that those cover, relative to the whole image: 1 when they lie all over it."""
    visible_ratio: float
    """Share of the map points that should be visible which were found where they should be,
    averaged over the cells of the grid: a poster full of matches counts as much as a wall
    without any."""
    position_sigma_m: float
    rotation_sigma_deg: float


def weigh(
    camera: Camera,
    pose: RefinedPose,
    *,
    inlier_pixels: NDArray[np.float64],
    visible_pixels: NDArray[np.float64],
    distinct_pixels: NDArray[np.float64],
) -> Evidence:
    """
    Collect the evidence for a pose.

    :param inlier_pixels: (M, 2) keypoints that agree with the pose.
    :param visible_pixels: (V, 2) projections of the map points that should be visible.
    :param distinct_pixels: (D, 2) keypoints whose match stood out from all others before a pose
        was known, and agrees with it.
    """
    ratios = found_in_cells(camera, inlier_pixels, visible_pixels)
    position_sigma, rotation_sigma = largest_sigmas(pose.covariance)
    return Evidence(
        inliers=len(inlier_pixels),
        distinct=len(distinct_pixels),
        spread=_spread(camera, distinct_pixels),
        visible_ratio=float(ratios.mean()) if len(ratios) else 0.0,
        position_sigma_m=position_sigma,
        rotation_sigma_deg=rotation_sigma,
    )


def largest_sigmas(covariance: NDArray[np.float64]) -> tuple[float, float]:
    """Return the largest standard deviations of position (metres) and rotation (degrees)."""
    position = np.linalg.eigvalsh(covariance[:3, :3])[-1]
    rotation = np.linalg.eigvalsh(covariance[3:, 3:])[-1]
    return float(np.sqrt(position)), float(np.degrees(np.sqrt(rotation)))


def found_in_cells(
    camera: Camera, inlier_pixels: NDArray[np.float64], visible_pixels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of the visible points that are found, in each cell that has some."""
    found = _count_in_cells(camera, inlier_pixels)
    expected = _count_in_cells(camera, visible_pixels)
    judged = expected >= _MIN_EXPECTED
    return np.asarray(np.minimum(found[judged] / expected[judged], 1.0))


_MIN_EXPECTED = 3


def _spread(camera: Camera, pixels: NDArray[np.float64]) -> float:
    """Return the area of the ellipse of inertia relative to that of pixels all over the image."""
    if len(pixels) < 3:
        return 0.0
    scatter = np.cov(pixels.T)
    everywhere = (camera.width * camera.height / 12.0) ** 2
    return float(np.sqrt(max(np.linalg.det(scatter), 0.0) / everywhere))


def _count_in_cells(camera: Camera, pixels: NDArray[np.float64]) -> NDArray[np.intp]:
    columns = np.clip(pixels[:, 0] / camera.width * _GRID[0], 0, _GRID[0] - 1).astype(np.intp)
    rows = np.clip(pixels[:, 1] / camera.height * _GRID[1], 0, _GRID[1] - 1).astype(np.intp)
    return np.bincount(rows * _GRID[0] + columns, minlength=_GRID[0] * _GRID[1])


def least_visible_ratio(front_end: FrontEnd, options: AcceptanceOptions) -> float:
    """Return what share of the visible map a right pose shows with a front end."""
    learned = front_end.name != 'sift'
    return options.min_visible_ratio_learned if learned else options.min_visible_ratio


def judge(evidence: Evidence, options: AcceptanceOptions, least_visible_ratio: float) -> Reason:
    """
    Return :attr:`Reason.NONE` for a pose that may be published, else what is against it.

    :param least_visible_ratio: what :func:`least_visible_ratio` says of the front end.
    """
    if evidence.inliers < options.min_inliers or evidence.distinct < options.min_distinct:
        return Reason.FEW_INLIERS
    # Each is asked for what must hold, so that a NaN refuses.
    if not evidence.spread >= options.min_spread:
        return Reason.POOR_SPREAD
    certain_position = evidence.position_sigma_m <= options.max_position_sigma_m
    if not (certain_position and evidence.rotation_sigma_deg <= options.max_rotation_sigma_deg):
        return Reason.UNCERTAIN
    if not evidence.visible_ratio >= least_visible_ratio:
        return Reason.CONTRADICTED
    return Reason.NONE
