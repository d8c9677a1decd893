"""The scale of a reconstruction in metres, and which way is up in it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.rigs import CameraRig, moments_of, rig_of_camera
from hloc_localizer.mapping.tracks import Tracks

Array = NDArray[np.float64]

_MIN_SAMPLES = 8
_STEPS = (1, 2, 3, 5, 8, 12, 20)
"""How many images lie between the two ends of a window of odometry."""
_SHORTEST_M, _LONGEST_M = 0.08, 3.0
"""Shorter windows are mostly noise, longer ones mostly drift."""
_MIN_POINTS_AN_IMAGE = 15
_SHORTEST_BASELINE_M = 0.02


@dataclass(frozen=True)
class Scale:
    """How many metres one unit of a model is."""

    metres_per_unit: float
    relative_error: float
    """Standard error as a share of the scale."""
    spread: float
    """Median deviation of single measurements from the scale, as a share of it."""
    turn_spread: float = 0.0
    """Median angle by which odometry and model disagree on turns, as a share of the turns."""


@dataclass(frozen=True)
class Up:
    """The direction against gravity."""

    direction: Array
    """(3,) unit vector in the model's frame."""
    spread_deg: float
    """Median angle of single measurements from it."""


def relative(poses: Array, first: NDArray[np.intp], second: NDArray[np.intp]) -> Array:
    """Return ``first_from_second`` (N, 4, 4) of pairs of poses ``reference_from_camera``."""
    return np.asarray(transforms.invert(poses[first]) @ poses[second])


def scale_from_odometry(
    poses: Array, odometry: Array, sessions: Sequence[str] | None = None
) -> Scale | None:
    """
    Compare short displacements, each in the frame of its first camera.

    Over a short window odometry has not drifted yet, and the drift of the model does not count
    either; many windows average out. A window counts by its length.

    :param poses: (K, 4, 4) ``model_from_camera`` in the order of their stamps.
    :param odometry: (K, 4, 4) ``odom_from_camera``; NaN where unknown.
    :param sessions: (K,) the recording of each, where there are several.
    :returns: None where there is too little motion to tell.
    """
    first, second = _windows(odometry, sessions or [''] * len(poses))
    if not len(first):
        return None
    from_images, from_odometry = (relative(each, first, second) for each in (poses, odometry))
    seen, driven = from_images[:, :3, 3], from_odometry[:, :3, 3]
    lengths = np.linalg.norm(driven, axis=1)
    usable = (lengths >= _SHORTEST_M) & (lengths <= _LONGEST_M)
    usable &= np.linalg.norm(seen, axis=1) > 0.0
    if np.count_nonzero(usable) < _MIN_SAMPLES:
        return None
    seen, driven, lengths = seen[usable], driven[usable], lengths[usable]
    # Logarithms treat a ratio and its inverse alike.
    ratios = np.log(lengths / np.linalg.norm(seen, axis=1))
    scale = float(np.exp(_weighted_median(ratios, lengths)))
    errors = np.linalg.norm(scale * seen - driven, axis=1) / lengths
    for _ in range(5):
        sigma = max(float(_weighted_median(errors, lengths)) * 1.5, 1e-6)
        weights = 1.0 / (1.0 + (errors / sigma) ** 2)  # each already relative to its length
        scale = float((weights * (seen * driven).sum(1)).sum() / (weights * (seen**2).sum(1)).sum())
        errors = np.linalg.norm(scale * seen - driven, axis=1) / lengths
    spread = float(_weighted_median(errors, lengths))
    # Windows overlap: only as many are independent as there are steps in the whole way.
    independent = max(np.count_nonzero(usable) / len(_STEPS), 1.0)
    error = 1.5 * spread / float(np.sqrt(independent))
    return Scale(scale, error, spread, _turn_spread(from_images, from_odometry))


def _turn_spread(first: Array, second: Array) -> float:
    """Return the median angle between turns (N, 4, 4) as a share of the median turn."""
    between = np.swapaxes(first[:, :3, :3], 1, 2) @ second[:, :3, :3]
    turned = float(np.median(transforms.rotation_angle(second[:, :3, :3])))
    # Half a degree comes from noise, however little the camera turns.
    apart = max(float(np.median(transforms.rotation_angle(between))) - np.radians(0.5), 0.0)
    return float(apart / max(turned, np.radians(5.0)))


def _windows(odometry: Array, sessions: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    known = np.flatnonzero(np.isfinite(odometry).all(axis=(1, 2)))
    pairs = [(known[:-step], known[step:]) for step in _STEPS if step < len(known)]
    if not pairs:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    names = np.asarray(sessions)
    together = names[first] == names[second]
    return first[together], second[together]


def _weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])


def scale_from_rig(
    images: Sequence[MapImage],
    indices: NDArray[np.intp],
    poses: Array,
    tracks: Tracks,
    rigs: Sequence[CameraRig],
) -> Scale | None:
    """
    Compare the distances of cameras at one moment with those of their mounting.

    A model that holds the rig has the same scale at every moment. How sure that is tell the
    images: each is asked for the length of the baseline with which it sees the points best.

    :param indices: (K,) the images that have poses.
    :param poses: (K, 4, 4) ``model_from_camera``.
    :param tracks: in the unit of the poses, with indices of all images.
    """
    pose_of = dict(zip(indices.tolist(), poses, strict=True))
    ends = np.searchsorted(tracks.image, np.arange(len(images) + 1))
    ratios, seen = [], []
    for members in moments_of(images, rigs):
        placed = [index for index in members if index in pose_of]
        for first, second in itertools.combinations(placed, 2):
            rig = rig_of_camera(images[first].camera, rigs)
            mounted = transforms.invert(rig[images[second].camera]) @ rig[images[first].camera]
            length = float(np.linalg.norm(mounted[:3, 3]))
            apart = float(np.linalg.norm(pose_of[first][:3, 3] - pose_of[second][:3, 3]))
            if length < _SHORTEST_BASELINE_M or apart <= 0.0:
                continue
            ratios.append(np.log(length / apart))
            own = slice(int(ends[second]), int(ends[second + 1]))
            points = transforms.apply(
                transforms.invert(pose_of[first]), tracks.points[tracks.point[own]]
            )
            stretch = _stretch(points, images[second].plane[tracks.keypoint[own]], mounted)
            if stretch > 0.0:
                seen.append(-np.log(stretch))
    if min(len(ratios), len(seen)) < _MIN_SAMPLES:
        return None
    scale = float(np.median(ratios))
    spread = float(np.median(np.abs(np.array(seen) - scale)))
    # Moments see the same points and have the same calibration: they do not average out. And the
    # points have been fitted to the baseline already, which halves the spread.
    return Scale(float(np.exp(scale)), 3.0 * spread, spread)


def _stretch(points: Array, plane: Array, second_from_first: Array) -> float:
    """
    Return how many times as long a baseline must be for a camera to see points where it does.

    :param points: (N, 3) in the other camera, in the unit of a model.
    :param plane: (N, 2) where the camera sees them.
    :param second_from_first: (4, 4) metres.
    :returns: units of the model in a metre; 0 where there are too few points to tell.
    """
    turned = points @ second_from_first[:3, :3].T
    usable = (turned[:, 2] > 0.0) & np.isfinite(plane).all(axis=1)
    if np.count_nonzero(usable) < _MIN_POINTS_AN_IMAGE:
        return 0.0
    turned, plane = turned[usable], plane[usable]
    baseline = second_from_first[:3, 3]
    # On the plane z = 1, a point moves by this for each metre of baseline, and has moved by that.
    rate = (baseline[:2] - plane * baseline[2]) / turned[:, 2:]
    moved = plane - turned[:, :2] / turned[:, 2:]
    stretch, weights = 0.0, np.ones(len(plane))
    for _ in range(5):
        stretch = float(weights @ (rate * moved).sum(1) / max(weights @ (rate**2).sum(1), 1e-18))
        errors = np.linalg.norm(moved - stretch * rate, axis=1)
        weights = 1.0 / (1.0 + (errors / max(1.5 * float(np.median(errors)), 1e-9)) ** 2)
    return stretch


def _middle(ratios: Sequence[float]) -> Scale | None:
    """Return the scale of which most logarithms are near."""
    if len(ratios) < _MIN_SAMPLES:
        return None
    middle = float(np.median(ratios))
    spread = float(np.median(np.abs(np.array(ratios) - middle)))
    return Scale(float(np.exp(middle)), 1.5 * spread / float(np.sqrt(len(ratios))), spread)


def scale_from_depth(
    images: Sequence[MapImage], indices: NDArray[np.intp], poses: Array, tracks: Tracks
) -> Scale | None:
    """
    Compare the measured depth of keypoints with that of their points.

    Each image gives one median, so that one that sees much does not outvote the rest.

    :param indices: (K,) the images that have poses.
    :param poses: (K, 4, 4) ``model_from_camera``.
    :param tracks: in the unit of the poses, with indices of all images.
    """
    ratios = []
    ends = np.searchsorted(tracks.image, np.arange(len(images) + 1))
    for index, pose in zip(indices.tolist(), poses, strict=True):
        depth = images[index].depths
        if depth is None:
            continue
        own = slice(int(ends[index]), int(ends[index + 1]))
        measured = depth[tracks.keypoint[own]].astype(np.float64)
        in_camera = transforms.apply(transforms.invert(pose), tracks.points[tracks.point[own]])
        usable = np.isfinite(measured) & (measured > 0.0) & (in_camera[:, 2] > 0.0)
        if np.count_nonzero(usable) >= _MIN_POINTS_AN_IMAGE:
            ratios.append(float(np.median(np.log(measured[usable] / in_camera[usable, 2]))))
    return _middle(ratios)


def up_from_odometry(poses: Array, odometry: Array) -> Up | None:
    """
    Turn the odometry's z axis, which is up by REP-103, into the model by each image.

    :param poses: (K, 4, 4) ``model_from_camera``.
    :param odometry: (K, 4, 4) ``odom_from_camera``; NaN where unknown.
    """
    known = np.isfinite(odometry).all(axis=(1, 2))
    if not known.any():
        return None
    turns = poses[known, :3, :3] @ np.swapaxes(odometry[known, :3, :3], 1, 2)
    return mean_direction(turns[:, :, 2])


def up_from_cameras(poses: Array) -> Up | None:
    """
    Take for up what the people or robots that carry cameras do: images are seldom tilted sideways.

    The x axes of the cameras are then horizontal, and up is normal to them all.

    :param poses: (K, 4, 4) ``model_from_camera``.
    :returns: None where the cameras look one way only, or do not agree.
    """
    sideways = poses[:, :3, 0]
    values, vectors = np.linalg.eigh(sideways.T @ sideways / len(sideways))
    upwards = -poses[:, :3, 1].sum(axis=0)
    direction = vectors[:, 0] * (1.0 if vectors[:, 0] @ upwards > 0.0 else -1.0)
    tilts = np.degrees(np.arcsin(np.clip(np.abs(sideways @ direction), 0.0, 1.0)))
    spread = float(np.median(tilts))
    if values[1] < 4.0 * max(values[0], 1e-4) or spread > _LARGEST_TILT_DEG:
        return None
    return Up(np.asarray(direction), spread)


_LARGEST_TILT_DEG = 10.0


def mean_direction(directions: Array) -> Up:
    """Average unit vectors (N, 3), those far from the others counting little."""
    mean = np.median(directions, axis=0)
    for _ in range(5):
        mean = mean / max(float(np.linalg.norm(mean)), 1e-12)
        angles = np.linalg.norm(directions - mean, axis=1)
        sigma = max(1.5 * float(np.median(angles)), 1e-9)
        mean = (directions / (1.0 + (angles[:, None] / sigma) ** 2)).sum(axis=0)
    mean = mean / max(float(np.linalg.norm(mean)), 1e-12)
    angles = np.degrees(np.arccos(np.clip(directions @ mean, -1.0, 1.0)))
    return Up(mean, float(np.median(angles)))


def level_rotation(up: Array) -> Array:
    """Return the smallest rotation (3, 3) that turns a unit vector onto the z axis."""
    axis = np.cross(up, [0.0, 0.0, 1.0])
    length = float(np.linalg.norm(axis))
    angle = float(np.arctan2(length, up[2]))
    if length < 1e-12:
        return np.eye(3) if up[2] > 0.0 else np.diag([1.0, -1.0, -1.0])
    return np.asarray(transforms.rotation_from_rotvec(axis / length * angle))
