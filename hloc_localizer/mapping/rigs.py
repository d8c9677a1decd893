"""Cameras that are mounted together: which of their images are of one moment, and how they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage, PairMatches, match_distances
from hloc_localizer.mapping.pairs import view_overlap
from hloc_localizer.sources.rig import SIMULTANEOUS_NS

Array = NDArray[np.float64]

CameraRig = Mapping[int, Array]
"""(4, 4) ``rig_from_camera`` by the index of the camera, metres; the first is the reference."""

_MIN_OVERLAP = 0.05
_LARGEST_DISTANCE_PX = 4.0
_BEHIND_PX = 2.0
"""Disparity of the wrong sign that is more than noise."""
_LEAST_FITTING = 0.5
"""Share of the matches of one moment that a right mounting explains; a wrong one explains few."""
_FEWEST_MATCHES = 20
_HELD_M, _HELD_OF_BASELINE, _HELD_RAD = 0.005, 0.03, np.radians(0.5)


def moments_of(images: Sequence[MapImage], rigs: Sequence[CameraRig]) -> list[list[int]]:
    """
    Group images by the rig and the moment that they were taken by and at.

    :returns: indices of images, each once, in the order of the first of each group and, within
        one, in that of the cameras of the rig. An image of a camera without a rig is by itself.
    """
    rig_of = {camera: number for number, rig in enumerate(rigs) for camera in rig}
    groups: dict[int, list[int]] = {}
    last: dict[tuple[str, int], int] = {}
    for index in sorted(range(len(images)), key=lambda each: images[each].stamp_ns):
        image = images[index]
        rig = rig_of.get(image.camera)
        first = None if rig is None else last.get((image.session, rig))
        if first is None or not _joins(images, groups[first], image):
            first = index
        groups.setdefault(first, []).append(index)
        if rig is not None:
            last[image.session, rig] = first
    order = {camera: place for rig in rigs for place, camera in enumerate(rig)}
    moments = [
        sorted(members, key=lambda index: order.get(images[index].camera, 0))
        for members in groups.values()
    ]
    return sorted(moments, key=min)


def _joins(images: Sequence[MapImage], members: Sequence[int], image: MapImage) -> bool:
    within = image.stamp_ns - images[members[0]].stamp_ns <= SIMULTANEOUS_NS
    return within and all(images[member].camera != image.camera for member in members)


def rig_of_camera(camera: int, rigs: Sequence[CameraRig]) -> CameraRig:
    """Return the rig of a camera; one of its own where it is mounted with no other."""
    return next((rig for rig in rigs if camera in rig), {camera: np.eye(4)})


def rig_pose(
    images: Sequence[MapImage], members: Sequence[int], poses: Sequence[Array], rig: CameraRig
) -> Array:
    """
    Return ``map_from_rig`` (4, 4) at one moment, the mean of what its images say.

    :param poses: ``map_from_camera`` of all images.
    """
    told = np.stack(
        [poses[index] @ transforms.invert(rig[images[index].camera]) for index in members]
    )
    if len(told) == 1:
        return np.asarray(told[0])
    left, _, right = np.linalg.svd(told[:, :3, :3].sum(axis=0))
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    return np.asarray(transforms.transform_from(rotation, told[:, :3, 3].mean(axis=0)))


def pairs_of_moments(
    images: Sequence[MapImage], cameras: Sequence[Camera], rigs: Sequence[CameraRig]
) -> set[tuple[int, int]]:
    """Return the pairs of images of one moment whose views overlap."""
    seeing: set[tuple[int, int]] = set()
    for rig in rigs:
        mounted = list(rig)
        overlap = view_overlap([cameras[each] for each in mounted], np.stack([*rig.values()]))
        for first, second in zip(*np.nonzero(overlap >= _MIN_OVERLAP), strict=True):
            seeing.add((mounted[first], mounted[second]))
    return {
        (min(first, second), max(first, second))
        for members in moments_of(images, rigs)
        for first in members
        for second in members
        if (images[first].camera, images[second].camera) in seeing
    }


def fitting_rigs(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    matches: PairMatches,
    rigs: Sequence[CameraRig],
) -> tuple[list[CameraRig], list[str]]:
    """
    Leave out the rigs that take no images together, or whose mounting the matches contradict.

    A match fits where it lies near its epipolar line, and before both cameras: so a wrong angle
    shows, and left taken for right. The length of a baseline does not.

    :param matches: verified ones.
    :returns: the rigs that fit, or that no overlap can judge; and a note on each that does not.
    """
    shares: dict[int, list[float]] = {}
    for members in moments_of(images, rigs):
        for first in members:
            for second in members:
                found = matches.get((first, second))
                if found is None or len(found) < _FEWEST_MATCHES:
                    continue
                number = next(n for n, rig in enumerate(rigs) if images[first].camera in rig)
                shares.setdefault(number, []).append(
                    _explained(images[first], images[second], found, cameras, rigs[number])
                )
    together = [images[each[0]].camera for each in moments_of(images, rigs) if len(each) > 1]
    fitting, notes = [], []
    for number, rig in enumerate(rigs):
        if not any(camera in rig for camera in together):
            notes.append(
                f'the mounting of {len(rig)} cameras is known but not used: no two of their images '
                f'are of one moment (stamps within {SIMULTANEOUS_NS / 1e6:g} ms); trigger the '
                'cameras together'
            )
            continue
        share = float(np.median(shares.get(number, [1.0])))
        if share >= _LEAST_FITTING:
            fitting.append(rig)
            continue
        notes.append(
            f'the mounting of {len(rig)} cameras by /tf_static explains only {share:.0%} of the '
            'matches between their images of one moment, and is not used; check /tf_static, the '
            'calibrations, and that the cameras take their images together'
        )
    return fitting, notes


def _explained(
    first: MapImage,
    second: MapImage,
    indices: NDArray[np.int32],
    cameras: Sequence[Camera],
    rig: CameraRig,
) -> float:
    """Return the share of matches that the mounting explains."""
    second_from_first = transforms.invert(rig[second.camera]) @ rig[first.camera]
    here, there = first.plane[indices[:, 0]], second.plane[indices[:, 1]]
    focal = min(cameras[first.camera].focal_px, cameras[second.camera].focal_px)
    near = match_distances(here, there, second_from_first) * focal <= _LARGEST_DISTANCE_PX
    # Where a point would lie at infinity; one before the cameras is shifted along the baseline.
    rays = np.concatenate([here, np.ones((len(here), 1))], axis=1) @ second_from_first[:3, :3].T
    shift = there * rays[:, 2:] - rays[:, :2]
    towards = second_from_first[:2, 3] - there * second_from_first[2, 3]
    disparity = (shift * towards).sum(axis=1) / np.maximum(np.linalg.norm(towards, axis=1), 1e-12)
    behind = disparity * focal < -_BEHIND_PX
    return float(np.mean(near & ~behind))


def held_rigs(
    images: Sequence[MapImage], poses: Sequence[Array], rigs: Sequence[CameraRig]
) -> list[CameraRig]:
    """
    Return the rigs that poses agree with, and that may be held rigid from here on.

    :param poses: ``map_from_camera`` in metres.
    """
    apart: dict[int, list[bool]] = {number: [] for number in range(len(rigs))}
    for members in moments_of(images, rigs):
        if len(members) < 2:
            continue
        first = members[0]
        number = next(n for n, rig in enumerate(rigs) if images[first].camera in rig)
        rig = rigs[number]
        for second in members[1:]:
            mounted = transforms.invert(rig[images[first].camera]) @ rig[images[second].camera]
            moved, turned = transforms.pose_distance(
                transforms.invert(poses[first]) @ poses[second], mounted
            )
            allowed_m = _HELD_M + _HELD_OF_BASELINE * float(np.linalg.norm(mounted[:3, 3]))
            apart[number].append(bool(moved > allowed_m or turned > _HELD_RAD))
    return [
        rig for number, rig in enumerate(rigs) if apart[number] and not np.median(apart[number])
    ]
