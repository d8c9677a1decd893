"""Where the images of a new session were taken, in a map: by localizing, checked by odometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]

_NEIGHBOURS = 4
"""Localized images before and after one that are asked whether it agrees with them."""
_AGREED_M, _AGREED_SHARE = 0.15, 0.05
"""Two images agree if the ways between them differ by no more than this and this share of it."""
_AGREED_DEG, _AGREED_TURN = 3.0, 0.1
LOCALIZED_SIGMA_M = 0.03
"""Standard deviation of the position of an image that was localized."""
_DRIFT = 0.05
"""Standard deviation of odometry relative to the way from the nearest such image."""
_LEAST_PLACED = 5
_LARGEST_OFFSET_M, _LARGEST_OFFSET_DEG = 0.3, 5.0


@dataclass(frozen=True)
class PlacedSession:
    """Poses of a session's images in the map."""

    poses: Array
    """(I, 4, 4), NaN for images that found no place."""
    sigma_m: Array
    """(I,) standard deviation of the positions."""
    localized: int
    """Images that were found in the map."""
    rejected: int
    """Those of them that contradict the odometry."""
    by_odometry: int
    """Images that were not found, and placed by odometry from those that were."""

    def line(self) -> str:
        """Say it for a terminal."""
        text = f'{self.localized} of {len(self.poses)} images were found in the map'
        if self.rejected:
            text += f', {self.rejected} of them contradict the odometry and are not believed'
        if self.by_odometry:
            text += f', {self.by_odometry} more are placed by odometry'
        return text


def place_by_localizing(
    stamps_ns: NDArray[np.int64], odometry: Array, found: Array
) -> PlacedSession:
    """
    Believe the localized images that agree with odometry, and place the others by it.

    Between two believed images the poses that odometry gives from both are blended by time, so that
    its drift is spread; before the first and after the last one it is followed as it is.

    :param odometry: (I, 4, 4) ``odom_from_camera``, NaN where unknown.
    :param found: (I, 4, 4) ``map_from_camera``, NaN where the image was not localized.
    :raises HlocLocalizerError: when too few images have a place that is believed.
    """
    localized, driven = _known(found), _known(odometry)
    believed = localized.copy()
    if driven.any():
        believed &= driven
        believed[believed] = confirmed(stamps_ns[believed], odometry[believed], found[believed])
    if np.count_nonzero(believed) < _LEAST_PLACED:
        contradict = int(np.count_nonzero(localized & ~believed))
        raise HlocLocalizerError(
            f'only {np.count_nonzero(localized)} of {len(found)} images of the recording are found '
            f'in the map and {contradict} of these contradict the odometry; {_LEAST_PLACED} are '
            'needed: record more of the place that the map shows, above all at the beginning'
        )
    poses = np.where(believed[:, None, None], found, np.nan)
    sigma_m = np.full(len(found), LOCALIZED_SIGMA_M)
    others = np.flatnonzero(driven & ~believed)
    if len(others):
        poses[others], way = _carried(stamps_ns, odometry, poses, np.flatnonzero(believed), others)
        sigma_m[others] = np.hypot(LOCALIZED_SIGMA_M, _DRIFT * way)
    return PlacedSession(
        poses=poses,
        sigma_m=sigma_m,
        localized=int(np.count_nonzero(localized)),
        rejected=int(np.count_nonzero(localized & ~believed)),
        by_odometry=len(others),
    )


def _known(poses: Array) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(poses).all(axis=(1, 2)), np.bool_)


def confirmed(stamps_ns: NDArray[np.int64], odometry: Array, found: Array) -> NDArray[np.bool_]:
    """
    Tell which images (N,) most of their neighbours in time confirm.

    :param odometry: (N, 4, 4) ``odom_from_camera``.
    :param found: (N, 4, 4) ``map_from_camera``.
    """
    order = np.argsort(stamps_ns, kind='stable')
    odometry, found = odometry[order], found[order]
    agreed = np.zeros(len(order), np.bool_)
    for index in range(len(order)):
        near = np.arange(max(index - _NEIGHBOURS, 0), min(index + _NEIGHBOURS + 1, len(order)))
        near = near[near != index]
        driven = transforms.invert(odometry[near]) @ odometry[index]
        metres, radians = transforms.pose_distance(found[near] @ driven, found[index])
        way = np.linalg.norm(driven[:, :3, 3], axis=1)
        turn = np.degrees(transforms.rotation_angle(driven[:, :3, :3]))
        agree = metres <= _AGREED_M + _AGREED_SHARE * way
        agree &= np.degrees(radians) <= _AGREED_DEG + _AGREED_TURN * turn
        agreed[order[index]] = np.count_nonzero(agree) >= max(2, (len(near) + 1) // 2)
    return agreed


def _carried(
    stamps_ns: NDArray[np.int64],
    odometry: Array,
    poses: Array,
    believed: NDArray[np.intp],
    others: NDArray[np.intp],
) -> tuple[Array, Array]:
    """Return the poses (N, 4, 4) of others, and how far (N,) the nearest believed image is."""
    believed = believed[np.argsort(stamps_ns[believed], kind='stable')]
    after = np.searchsorted(stamps_ns[believed], stamps_ns[others])
    first = believed[np.clip(after - 1, 0, len(believed) - 1)]
    second = believed[np.clip(after, 0, len(believed) - 1)]
    from_first = poses[first] @ transforms.invert(odometry[first]) @ odometry[others]
    from_second = poses[second] @ transforms.invert(odometry[second]) @ odometry[others]
    between = np.maximum(stamps_ns[second] - stamps_ns[first], 1)
    share = np.clip((stamps_ns[others] - stamps_ns[first]) / between, 0.0, 1.0)
    poses = np.stack(
        [
            np.asarray(transforms.interpolate(one, other, fraction))
            for one, other, fraction in zip(from_first, from_second, share, strict=True)
        ]
    )
    ways = [
        np.linalg.norm(odometry[others, :3, 3] - odometry[one, :3, 3], axis=1)
        for one in (first, second)
    ]
    return poses, np.minimum(*ways)


def check_recorded(recorded: Array, found: Array) -> None:
    """
    Check that recorded poses are in the frame of the map, by images that were localized in it.

    :param recorded: (I, 4, 4) ``map_from_camera`` as recorded.
    :param found: (I, 4, 4) as localized, NaN where the image was refused.
    :raises HlocLocalizerError: when too few were localized.
    :raises InputError: when they differ.
    """
    localized = _known(found)
    if np.count_nonzero(localized) < _LEAST_PLACED:
        raise HlocLocalizerError(
            f'only {np.count_nonzero(localized)} images of the recording that were tried are found '
            f'in the map, {_LEAST_PLACED} are needed to join them; record more of the place that '
            'the map shows'
        )
    metres, radians = transforms.pose_distance(found[localized], recorded[localized])
    offset, turn = float(np.median(metres)), float(np.degrees(np.median(radians)))
    if offset > _LARGEST_OFFSET_M or turn > _LARGEST_OFFSET_DEG:
        raise InputError(
            'the recorded poses are not in the frame of the map: they differ by '
            f'{offset:.2f} m and {turn:.1f} deg (median) from where the map finds the images; '
            'leave them out with --set source.poses=none, and the images are placed by localizing'
        )
