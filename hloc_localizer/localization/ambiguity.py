"""Ambiguity: whether a second pose is as well founded as the best one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hloc_localizer.geometry.absolute_pose import RefinedPose
from hloc_localizer.geometry.covariance import pose_error

_FAR_SIGMAS = 20.0
"""Poses that are nearer by their covariances are one pose, bent by the errors of the map."""


def far_apart(first: RefinedPose, second: RefinedPose) -> bool:
    """Tell whether two poses cannot be one and the same."""
    error = pose_error(first.map_from_camera, second.map_from_camera)
    squared = error @ np.linalg.solve(first.covariance + second.covariance, error)
    return bool(squared > _FAR_SIGMAS**2)


def is_rival(
    best: Sequence[int], other: Sequence[int], *, max_rival: float, min_distinct: int
) -> bool:
    """
    Tell whether another accepted pose keeps the best one from being believed.

    Two places that look alike gather as many matches each, and more images of what they share
    decide nothing. What decides is an image that one of the two poses explains well and the other
    does not, unless another image says the opposite: then odometry jumped, or a camera is not
    mounted as was said, and nothing tells which of them is right.

    :param best: in each image, how many distinct matches agree with the best pose.
    :param other: the same for the other pose.
    :param max_rival: the largest share of the matches of one pose that leaves the other outvoted.
    :param min_distinct: fewest matches that show anything.
    """
    return not _outvoted(best, other, max_rival, min_distinct) or _outvoted(
        other, best, max_rival, min_distinct
    )


def _outvoted(best: Sequence[int], other: Sequence[int], share: float, least: int) -> bool:
    return any(
        mine >= least and theirs <= share * mine for mine, theirs in zip(best, other, strict=True)
    )
