"""Images whose place is doubtful: few points hold them, or their neighbours disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.placement import odometry_of, spans
from hloc_localizer.mapping.session_poses import confirmed

Array = NDArray[np.float64]

LEAST_POINTS = 20
"""An image that sees fewer points is where it was put, not where its points say it is."""
_LARGEST_JUMP = 5.0
"""Of an image off its way, in usual steps."""
_LEAST_NEIGHBOURS = 5
_MOSTLY = 0.8


def doubtful_images(
    images: Sequence[MapImage], poses: Array, seen: NDArray[np.intp], *, by_odometry: bool
) -> NDArray[np.bool_]:
    """
    Tell which images (I,) are not where they are said to be, as far as one can see.

    With odometry, most images just before and after must confirm the way to them; without, an image
    must not stand apart from those before and after it, when these are close to each other.

    :param poses: (I, 4, 4) ``map_from_camera``.
    :param seen: (I,) how many points each image sees.
    :param by_odometry: whether the odometry is that of these cameras, in metres as the map.
    """
    doubtful = seen < LEAST_POINTS
    stamps = np.array([image.stamp_ns for image in images], np.int64)
    ways = np.array([f'{image.session}/{image.camera}' for image in images])
    odometry = odometry_of(images)
    driven = np.isfinite(odometry[:, 0, 0])
    for way in dict.fromkeys(ways.tolist()):
        own = np.flatnonzero((ways == way) & ~doubtful)
        own = own[np.argsort(stamps[own], kind='stable')]
        if by_odometry:
            own = own[driven[own]]
        if len(own) < _LEAST_NEIGHBOURS:
            continue
        if by_odometry:
            agreed = confirmed(stamps[own], odometry[own], poses[own])
            # Contradicting most of a way, it is the odometry that is in doubt.
            doubtful[own] = ~agreed & (np.mean(agreed) > _MOSTLY)
        else:
            doubtful[own] = _apart(poses[own, :3, 3])
    return doubtful


def points_seen(reconstruction: Any) -> NDArray[np.intp]:
    """
    Return how many points (I,) each image sees; those of a rig see with each other's eyes.

    :param reconstruction: ``pycolmap.Reconstruction``.
    """
    images = [image for _, image in sorted(reconstruction.images.items())]
    by_frame: dict[int, int] = {}
    for image in images:
        by_frame[image.frame_id] = by_frame.get(image.frame_id, 0) + image.num_points3D
    return np.array([by_frame[image.frame_id] for image in images], np.intp)


def _apart(positions: Array) -> NDArray[np.bool_]:
    """Tell which positions (N, 3) of a way are far from both neighbours, which are not so far."""
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    past = np.linalg.norm(positions[2:] - positions[:-2], axis=1)
    usual = np.maximum(past, float(np.median(steps)))
    apart = np.zeros(len(positions), np.bool_)
    apart[1:-1] = np.minimum(steps[:-1], steps[1:]) > _LARGEST_JUMP * usual
    return apart


def note_of_doubtful(images: Sequence[MapImage], kept: NDArray[np.intp]) -> str:
    """Return a line that says which images were left out; empty when none was."""
    missing = len(images) - len(kept)
    if not missing:
        return ''
    return (
        f'{missing} of {len(images)} images that found a place are left out, since it is doubtful '
        f'(few points, or far from where their neighbours say): '
        f'{"; ".join(spans(images, set(kept.tolist())))}'
    )


def matches_among(matches: PairMatches, kept: NDArray[np.intp]) -> PairMatches:
    """Return the matches of some images, renumbered."""
    number = {int(index): position for position, index in enumerate(kept)}
    return {
        (number[first], number[second]): found
        for (first, second), found in matches.items()
        if first in number and second in number
    }
