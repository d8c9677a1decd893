"""By how much the clocks of images and poses differ: found from how both turn, and corrected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.progress import Progress
from hloc_localizer.sources import Frame, Source
from hloc_localizer.sources.bag import BagSource
from hloc_localizer.sources.joined import JoinedSource

Array = NDArray[np.float64]

LARGEST_NS = 500_000_000
"""Larger offsets are refused: there the recording is at fault."""
_SEARCHED_NS = 660_000_000
_STEP_NS = 20_000_000
_COARSE_STEPS = 3
"""Every so many steps are looked at first: over 60 ms the costs are smooth."""
_FITTED_STEPS = 3
_NEGLIGIBLE_NS = 30_000_000
"""Smaller ones are within what exposure and interpolation leave."""
_SHORTEST_PAIR_NS = 120_000_000
_LONGEST_PAIR_NS = 600_000_000
_MOST_IMAGES = 200
_ENOUGH_PAIRS = 60
_FEWEST_PAIRS = 20
_MIN_TURN = np.radians(1.0)
"""A pair of images that turned by less says nothing about the time."""
_MAX_UNEXPLAINED = 0.5
"""Share of the turning that poses of another time or another mounting leave unexplained."""
_MIN_UNEXPLAINED_DEG = 2.0
"""... and not less than this, which is what images of slow turns may err."""
_MIN_GAIN = 0.7
"""An offset is believed if it leaves less than this of what is unexplained without it."""
_LONGER_SIDE = 640
_KEYPOINTS = 800
_MIN_MATCHES = 30


@dataclass(frozen=True)
class TimeOffset:
    """What the turning of images and of poses says about their clocks."""

    offset_ns: int
    """To add to the stamp of an image to have it by the clock of the poses."""
    pairs: int
    """Pairs of images that it rests on."""
    turned_deg: float
    """Median angle between the images of a pair."""
    unexplained_deg: float
    """Median angle between what images and poses tell, at this offset."""
    without_deg: float
    """The same without an offset."""

    @property
    def hopeless(self) -> bool:
        """Whether images and poses do not turn together at any offset."""
        return self.unexplained_deg > max(_MAX_UNEXPLAINED * self.turned_deg, _MIN_UNEXPLAINED_DEG)

    @property
    def significant(self) -> bool:
        """Whether there is an offset to be corrected."""
        gained = self.unexplained_deg < _MIN_GAIN * self.without_deg
        return abs(self.offset_ns) > _NEGLIGIBLE_NS and gained


def synchronised(source: Source, progress: Progress, *, refuse: bool = True) -> Source:
    """
    Return a recording whose poses are looked up by the clock of the images.

    A recording that turns too little to tell is taken as it is.

    :param refuse: false where poses that do not fit are found out later: take them as they are.
    :raises InputError: when images and poses do not belong together at any offset up to 0.5 s.
    """
    if isinstance(source, JoinedSource):
        sessions = source.sessions.items()
        return JoinedSource(
            {name: synchronised(part, progress, refuse=refuse) for name, part in sessions}
        )
    if not isinstance(source, BagSource) or not source.checks_clock:
        return source
    found = estimate_time_offset(source)
    if found is None:
        return source
    what = source.description['path']
    if found.hopeless or (found.significant and abs(found.offset_ns) > LARGEST_NS + _NEGLIGIBLE_NS):
        if not refuse:
            return source
        raise InputError(
            f'{what}: images and poses do not turn together, whatever the offset of their clocks '
            f'up to {LARGEST_NS / 1e9:g} s ({found.unexplained_deg:.1f} of {found.turned_deg:.1f} '
            'deg between images are not explained); synchronise the clocks and check the mounting '
            'of the camera in TF, leave odometry out with --set source.odom_topic=none, or trust '
            'the stamps with --set source.clock=trusted'
        )
    if not found.significant:
        return source
    progress.note(
        f'{what}: the clock of the poses is {found.offset_ns / 1e9:+.2f} s from that of the '
        f'images; corrected (by {found.pairs} pairs of images, whose rotation differs from that of '
        f'the poses by {found.without_deg:.1f} deg without it, {found.unexplained_deg:.1f} with it)'
    )
    return source.shifted(found.offset_ns)


def estimate_time_offset(source: BagSource) -> TimeOffset | None:
    """
    Estimate the offset between the clocks of images and poses.

    The rotation between images some tenths of a second apart, from their essential matrix, is
    compared with that of the poses at the same times, shifted; where they differ least, the clocks
    agree.

    :returns: None where the poses are unknown, or too few pairs of images turn.
    """
    if not source.knows_motion:
        return None
    pairs = list(_turning_pairs(source))
    if len(pairs) < _FEWEST_PAIRS:
        return None
    shifts = np.arange(-_SEARCHED_NS, _SEARCHED_NS + 1, _STEP_NS)
    seen = np.stack([pair.second_from_first for pair in pairs])
    angles = np.full((len(shifts), len(pairs)), np.nan)
    costs = np.full(len(shifts), np.inf)

    def look(rows: NDArray[np.intp]) -> None:
        angles[rows] = _angles(source, pairs, seen, shifts[rows])
        known = np.isfinite(angles[rows]).sum(axis=1) >= max(_FEWEST_PAIRS, len(pairs) // 2)
        costs[rows[known]] = [_trimmed(row) for row in angles[rows[known]]]

    look(np.arange(0, len(shifts), _COARSE_STEPS))
    if not np.isfinite(costs[len(shifts) // 2]):
        return None
    near = np.arange(len(shifts)) - int(np.argmin(costs))
    look(np.flatnonzero((np.abs(near) < _COARSE_STEPS + _FITTED_STEPS) & ~np.isfinite(costs)))
    best = int(np.argmin(costs))
    medians = np.degrees(np.nanmedian(angles[[best, len(shifts) // 2]], axis=1))
    return TimeOffset(
        offset_ns=int(shifts[best]) + _between(costs, best),
        pairs=len(pairs),
        turned_deg=float(np.degrees(np.median(transforms.rotation_angle(seen)))),
        unexplained_deg=float(medians[0]),
        without_deg=float(medians[1]),
    )


def _angles(
    source: BagSource, pairs: Sequence[_Pair], seen: Array, shifts: NDArray[np.int64]
) -> Array:
    """Return the angles (S, N) between the turns (N, 3, 3) of images and those of the poses."""
    stamps = {(pair.camera_name, stamp) for pair in pairs for stamp in pair.stamps_ns}
    turned = {each: _rotations(source, *each, shifts) for each in stamps}
    angles = np.full((len(shifts), len(pairs)), np.nan)
    for column, pair in enumerate(pairs):
        begin, end = (turned[pair.camera_name, stamp] for stamp in pair.stamps_ns)
        told = np.swapaxes(end, 1, 2) @ begin
        angles[:, column] = transforms.rotation_angle(np.swapaxes(told, 1, 2) @ seen[column])
    return angles


def _trimmed(angles: Array) -> float:
    """Return the mean square of the smaller two thirds: smoother over time than the median."""
    kept = np.sort(angles[np.isfinite(angles)])
    return float(np.mean(kept[: max(2 * len(kept) // 3, 1)] ** 2))


def _between(costs: Array, best: int) -> int:
    """Return the nanoseconds from the best step to the minimum of a parabola around it."""
    around = np.arange(best - _FITTED_STEPS, best + _FITTED_STEPS + 1)
    if around[0] < 0 or around[-1] >= len(costs) or not np.isfinite(costs[around]).all():
        return 0
    bend, slope, _ = np.polyfit(around - best, costs[around], 2)
    if bend <= 0.0:
        return 0
    return round(float(np.clip(-0.5 * slope / bend, -1.0, 1.0)) * _STEP_NS)


def _rotations(
    source: BagSource, camera_name: str, stamp_ns: int, shifts: NDArray[np.int64]
) -> Array:
    """Return the rotations (S, 3, 3) of a camera at shifted stamps, NaN where unknown."""
    rotations = np.full((len(shifts), 3, 3), np.nan)
    for row, shift in enumerate(shifts.tolist()):
        pose = source.motion_at(camera_name, stamp_ns + shift)
        if pose is not None:
            rotations[row] = pose[:3, :3]
    return rotations


@dataclass(frozen=True)
class _Pair:
    camera_name: str
    stamps_ns: tuple[int, int]
    second_from_first: Array
    """(3, 3)."""


@dataclass(frozen=True)
class _Seen:
    stamp_ns: int
    plane: Array
    """(N, 2) keypoints on the plane z = 1."""
    descriptors: NDArray[np.uint8]


def _turning_pairs(source: BagSource) -> Iterator[_Pair]:
    """Yield pairs of images of the first camera that turned, until there are enough."""
    camera_name, camera = next(iter(source.cameras.items()))
    detector = cv2.ORB_create(_KEYPOINTS)
    last: _Seen | None = None
    images = pairs = 0
    for frame in source.frames():
        if frame.camera_name != camera_name:
            continue
        if last is not None and frame.stamp_ns - last.stamp_ns < _SHORTEST_PAIR_NS:
            continue
        images += 1
        now = _look(frame, camera, detector)
        if last is not None and now is not None and now.stamp_ns - last.stamp_ns < _LONGEST_PAIR_NS:
            turn = _rotation_between(last, now, camera)
            if turn is not None and transforms.rotation_angle(turn) > _MIN_TURN:
                pairs += 1
                yield _Pair(camera_name, (last.stamp_ns, now.stamp_ns), turn)
        last = now
        if pairs >= _ENOUGH_PAIRS or images >= _MOST_IMAGES:
            return


def _look(frame: Frame, camera: Camera, detector: cv2.ORB) -> _Seen | None:
    grey = frame.image if frame.image.ndim == 2 else cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    shrink = min(_LONGER_SIDE / max(grey.shape), 1.0)
    small = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    keypoints, descriptors = detector.detectAndCompute(small, None)
    if len(keypoints) < _MIN_MATCHES:
        return None
    pixels = (np.array([each.pt for each in keypoints]) + 0.5) / shrink - 0.5
    return _Seen(frame.stamp_ns, camera.normalise(pixels), np.asarray(descriptors, np.uint8))


def _rotation_between(first: _Seen, second: _Seen, camera: Camera) -> Array | None:
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(
        first.descriptors, second.descriptors
    )
    a = first.plane[[match.queryIdx for match in matches]]
    b = second.plane[[match.trainIdx for match in matches]]
    usable = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    if np.count_nonzero(usable) < _MIN_MATCHES:
        return None
    a, b = np.ascontiguousarray(a[usable]), np.ascontiguousarray(b[usable])
    cv2.setRNGSeed(0)
    essential, inliers = cv2.findEssentialMat(
        a, b, np.eye(3), cv2.RANSAC, 0.999, 1.5 / camera.focal_px
    )
    if essential is None or essential.shape != (3, 3) or inliers.sum() < _MIN_MATCHES:
        return None
    _, rotation, _, _ = cv2.recoverPose(essential, a, b, np.eye(3), mask=inliers)
    return np.asarray(rotation, np.float64)
