"""Separate models, and images in none, joined in the frame of the odometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping import metric
from hloc_localizer.mapping.compilation import covisibility
from hloc_localizer.mapping.matching import MapImage, PairMatches, match_distances
from hloc_localizer.mapping.placement import Findings, Placement, median_depth, tell_lost
from hloc_localizer.mapping.pose_graph import Edges, optimise
from hloc_localizer.mapping.structure_from_motion import Model

Array = NDArray[np.float64]

LARGEST_SPREAD = 0.25
"""Of odometry against images over short ways; what is above is not the odometry of this camera."""
LARGEST_TURN_SPREAD = 0.12
"""The same of turns; a tenth of a second between the clocks shows as 0.08 at a walk."""


def agrees(scale: metric.Scale | None) -> bool:
    """Tell whether odometry is that of the camera, by what it makes of the scale."""
    return (
        scale is not None
        and scale.spread <= LARGEST_SPREAD
        and scale.turn_spread <= LARGEST_TURN_SPREAD
    )


_COVISIBLE = 8


@dataclass(frozen=True)
class _Trust:
    """Standard deviations of what odometry and models say; lengths of models count in depths."""

    driven: float
    """Of an odometry step, as a share of its length and of its angle."""
    seen: float
    """Of a relative pose in a model, over a short way: share of the depth, and radians."""
    seen_again: float
    """The same where the camera came back to a place."""


_TRUST_ODOMETRY = _Trust(driven=0.01, seen=0.1, seen_again=0.01)
"""Odometry shapes the way, images close its loops: a model bends where its calibration is off."""
_TRUST_IMAGES = _Trust(driven=0.03, seen=0.003, seen_again=0.003)
"""Images shape the way, odometry only bridges what they do not hold together."""
_FITS_UP_TO = 2.2
"""
How much worse odometry may fit the matches than images do.

Found on a hand-held recording with added drift: good odometry shows 1.8, one that is off by 4 %
of the way 3.2.
"""
_SIGMA_M, _SIGMA_RAD = 0.001, 0.0005
"""Of an odometry step, however short."""
_AGAIN_AFTER_M = 3.0


def join_by_odometry(
    images: Sequence[MapImage],
    models: Sequence[Model],
    recorded: Array,
    matches: PairMatches,
    scale: metric.Scale,
    findings: Findings,
) -> Placement:
    """
    Bring images and odometry together, in the frame of the odometry at the first image.

    :param recorded: (I, 4, 4) ``odom_from_camera``, NaN where unknown.
    :param matches: verified matches.
    :param scale: of the first model.
    """
    start, first_scales, joined = _start(images, models, recorded, scale)
    placed = np.flatnonzero(np.isfinite(start[:, 0, 0]) & _connected(len(images), joined, matches))
    position = np.full(len(images), -1)
    position[placed] = np.arange(len(placed))
    way = _way(images, recorded)

    def brought_together(trust: _Trust) -> tuple[Array, Array]:
        edges = [
            _driven_edges(images, recorded, placed, trust),
            *(
                _seen_edges(model, number, first_scales[number], way, trust)
                for number, model in enumerate(joined)
            ),
        ]
        together = _renumbered(Edges.join(*edges), position)
        poses, scales, _ = optimise(start[placed], np.array(first_scales), together)
        return poses, scales

    poses, scales = brought_together(_TRUST_ODOMETRY)
    by_images, other_scales = brought_together(_TRUST_IMAGES)
    fits, best = (
        _misfit(images, position, each, matches, models[0].cameras) for each in (poses, by_images)
    )
    findings.alignment['odometry_misfit'] = fits / max(best, 1e-9)
    if fits > _FITS_UP_TO * best:
        poses, scales = by_images, other_scales
        findings.notes.append(
            'odometry drifts too much to shape the map: it gives the scale, the images the rest'
        )
    poses = _levelled(poses, recorded[placed], findings)
    _tell_odometry(poses, recorded[placed], scale, scales, findings)
    tell_lost(images, placed, joined, models, findings)
    return Placement(
        images=placed,
        poses=poses,
        cameras=models[0].cameras,
        metric=True,
        gravity_aligned=True,
        alignment=findings.alignment,
        methods=findings.methods,
        notes=tuple(findings.notes),
    )


def _start(
    images: Sequence[MapImage], models: Sequence[Model], recorded: Array, scale: metric.Scale
) -> tuple[Array, list[float], list[Model]]:
    """Return first poses (I, 4, 4), NaN where there is none; scales and models that joined."""
    start = np.full((len(images), 4, 4), np.nan)
    scales: list[float] = []
    joined: list[Model] = []
    common_from_odom: dict[str, Array] = {}
    for model in models:
        own = scale if not joined else _own_scale(images, model, recorded)
        if own is None:
            continue
        poses = model.poses.copy()
        poses[:, :3, 3] *= own.metres_per_unit
        anchors = _anchors(images, model, recorded, common_from_odom)
        if not anchors:
            continue
        number, common_from_camera = anchors[len(anchors) // 2]
        common_from_model = common_from_camera @ transforms.invert(poses[number])
        start[model.images] = common_from_model @ poses
        scales.append(own.metres_per_unit)
        joined.append(model)
        for number, _ in anchors:
            index = int(model.images[number])
            common_from_odom.setdefault(
                images[index].session, start[index] @ transforms.invert(recorded[index])
            )
    _fill(images, recorded, start)
    return start, scales, joined


def _own_scale(images: Sequence[MapImage], model: Model, recorded: Array) -> metric.Scale | None:
    """Return the scale of a smaller model, where odometry tells it well enough to be joined."""
    sessions = [images[index].session for index in model.images.tolist()]
    scale = metric.scale_from_odometry(model.poses, recorded[model.images], sessions)
    return scale if agrees(scale) else None


def _anchors(
    images: Sequence[MapImage],
    model: Model,
    recorded: Array,
    common_from_odom: Mapping[str, Array],
) -> list[tuple[int, Array]]:
    """Return images of a model by number in it, with their poses in the common frame."""
    anchors = []
    for number, index in enumerate(model.images.tolist()):
        if not np.isfinite(recorded[index]).all():
            continue
        if not common_from_odom:
            anchors.append((number, recorded[index]))
        elif images[index].session in common_from_odom:
            anchors.append((number, common_from_odom[images[index].session] @ recorded[index]))
    if not common_from_odom and anchors:
        session = images[int(model.images[anchors[0][0]])].session
        anchors = [one for one in anchors if images[int(model.images[one[0]])].session == session]
    return anchors


def _fill(images: Sequence[MapImage], recorded: Array, start: Array) -> None:
    """Put images that no model holds where odometry leads from the nearest image in one."""
    held: dict[str, list[int]] = {}
    for index in np.flatnonzero(np.isfinite(start[:, 0, 0])).tolist():
        if np.isfinite(recorded[index]).all():
            held.setdefault(images[index].session, []).append(index)
    for index, image in enumerate(images):
        near = held.get(image.session)
        if np.isfinite(start[index, 0, 0]) or not near or not np.isfinite(recorded[index]).all():
            continue
        stamps = np.array([images[other].stamp_ns for other in near])
        other = near[int(np.argmin(np.abs(stamps - image.stamp_ns)))]
        start[index] = start[other] @ transforms.invert(recorded[other]) @ recorded[index]


def _connected(count: int, joined: Sequence[Model], matches: PairMatches) -> NDArray[np.bool_]:
    """Tell which images are in a model, or have matches with one that is."""
    held = np.zeros(count, bool)
    for model in joined:
        held[model.images] = True
    reached = held.copy()
    for first, second in matches:
        if held[first] or held[second]:
            reached[[first, second]] = True
    return reached


def _driven_edges(
    images: Sequence[MapImage],
    recorded: Array,
    placed: NDArray[np.intp],
    trust: _Trust,
) -> Edges:
    """Join each image with the next of its recording by odometry."""
    by_session: dict[str, list[int]] = {}
    for index in placed.tolist():
        if np.isfinite(recorded[index]).all():
            by_session.setdefault(images[index].session, []).append(index)
    ordered = [
        sorted(each, key=lambda index: images[index].stamp_ns) for each in by_session.values()
    ]
    first = np.array([index for each in ordered for index in each[:-1]], np.intp)
    second = np.array([index for each in ordered for index in each[1:]], np.intp)
    between = metric.relative(recorded, first, second)
    lengths = np.linalg.norm(between[:, :3, 3], axis=1)
    angles = transforms.rotation_angle(between[:, :3, :3])
    return Edges(
        first=first,
        second=second,
        first_from_second=between,
        sigma_m=_SIGMA_M + trust.driven * lengths,
        sigma_rad=_SIGMA_RAD + trust.driven * np.asarray(angles),
        group=np.full(len(first), -1, np.intp),
    )


def _seen_edges(model: Model, number: int, scale: float, way: Array, trust: _Trust) -> Edges:
    """Join each image of a model with those that share most points with it."""
    offsets, partners, _ = covisibility(model.tracks, len(way))
    pairs = {
        (min(index, int(other)), max(index, int(other)))
        for index in model.images.tolist()
        for other in partners[offsets[index] : offsets[index + 1]][:_COVISIBLE]
    }
    table = np.array(sorted(pairs), np.intp).reshape(-1, 2)
    own = np.full(len(way), -1)
    own[model.images] = np.arange(len(model.images))
    again = ~(np.abs(way[table[:, 0]] - way[table[:, 1]]) < _AGAIN_AFTER_M)
    sigma = np.where(again, trust.seen_again, trust.seen)
    return Edges(
        first=table[:, 0],
        second=table[:, 1],
        first_from_second=metric.relative(model.poses, own[table[:, 0]], own[table[:, 1]]),
        sigma_m=sigma * scale * median_depth(model),
        sigma_rad=sigma,
        group=np.full(len(table), number, np.intp),
    )


def _way(images: Sequence[MapImage], recorded: Array) -> Array:
    """Return how far (I,) the camera had come at each image of its recording; NaN if unknown."""
    way = np.full(len(images), np.nan)
    last: dict[str, int] = {}
    before = 0.0
    for index, image in enumerate(images):
        if not np.isfinite(recorded[index, 0, 0]):
            continue
        previous = last.get(image.session)
        step = 0.0
        if previous is None:
            before += _AGAIN_AFTER_M  # what another recording shows is seen again
            way[index] = before
        else:
            step = float(np.linalg.norm(recorded[index, :3, 3] - recorded[previous, :3, 3]))
            way[index] = way[previous] + step
        before = max(before, float(way[index]))
        last[image.session] = index
    return way


def _misfit(
    images: Sequence[MapImage],
    position: NDArray[np.intp],
    poses: Array,
    matches: PairMatches,
    cameras: Sequence[Camera],
) -> float:
    """Return the median over pairs of the median distance of matches from epipolar lines."""
    medians = []
    for (first, second), indices in sorted(matches.items()):
        if position[first] < 0 or position[second] < 0:
            continue
        rays = [
            cameras[images[index].camera].normalise(
                images[index].features.keypoints[indices[:, side]]
            )
            for side, index in enumerate((first, second))
        ]
        second_from_first = transforms.invert(poses[position[second]]) @ poses[position[first]]
        distances = match_distances(rays[0], rays[1], second_from_first)
        medians.append(float(np.median(distances)) * cameras[images[first].camera].focal_px)
    return float(np.median(medians)) if medians else 0.0


def _renumbered(edges: Edges, position: NDArray[np.intp]) -> Edges:
    return Edges(
        first=position[edges.first],
        second=position[edges.second],
        first_from_second=edges.first_from_second,
        sigma_m=edges.sigma_m,
        sigma_rad=edges.sigma_rad,
        group=edges.group,
    )


def _levelled(poses: Array, recorded: Array, findings: Findings) -> Array:
    """Move poses such that up is the mean up of the odometry, and the first is where it was."""
    up = metric.up_from_odometry(poses, recorded)
    assert up is not None
    findings.methods['gravity'] = 'odometry'
    findings.alignment['gravity_spread_deg'] = up.spread_deg
    level = metric.level_rotation(up.direction)
    first = int(np.flatnonzero(np.isfinite(recorded[:, 0, 0]))[0])
    turn = recorded[first, :3, :3] @ (level @ poses[first, :3, :3]).T
    yaw = np.arctan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1])
    rotation = transforms.rotation_from_rotvec([0.0, 0.0, yaw]) @ level
    moved = recorded[first, :3, 3] - rotation @ poses[first, :3, 3]
    return np.asarray(transforms.transform_from(rotation, moved) @ poses)


def _tell_odometry(
    poses: Array, recorded: Array, scale: metric.Scale, scales: Array, findings: Findings
) -> None:
    known = np.isfinite(recorded[:, 0, 0])
    moved, turned = transforms.pose_distance(poses[known], recorded[known])
    findings.methods['scale'] = 'odometry'
    findings.alignment.update(
        {
            'scale_relative_error': scale.relative_error,
            'odometry_spread': scale.spread,
            'odometry_position_median_m': float(np.median(moved)),
            'odometry_rotation_median_deg': float(np.degrees(np.median(turned))),
            'odometry_scale_correction': float(scales[0] / scale.metres_per_unit - 1.0),
        }
    )
