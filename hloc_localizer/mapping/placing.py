"""Chooses the frame of a map from images without poses: metric and level where it can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.geometry import transforms
from hloc_localizer.mapping import metric
from hloc_localizer.mapping.join_by_odometry import agrees, join_by_odometry
from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.options import MetricOptions
from hloc_localizer.mapping.placement import (
    Findings,
    Placement,
    median_depth,
    odometry_of,
    tell_lost,
)
from hloc_localizer.mapping.rigs import CameraRig
from hloc_localizer.mapping.structure_from_motion import Model

Array = NDArray[np.float64]

_UNSCALED_DEPTH = 3.0
"""
Median depth of the points where the scale is unknown.

Thresholds in metres then still mean what they mean in a room.
"""


def place(
    images: Sequence[MapImage],
    models: Sequence[Model],
    matches: PairMatches,
    rigs: Sequence[CameraRig],
    options: MetricOptions,
) -> Placement:
    """
    Choose the frame of the map and put the images into it.

    With odometry, all models and the images between them are joined by it in its frame at the
    first image; without, the largest model counts.

    :param models: of :func:`.find_models`, the largest first.
    :param matches: verified matches.
    :param rigs: cameras that are mounted together.
    :raises HlocLocalizerError: when no model holds three images.
    """
    if not models:
        raise HlocLocalizerError(
            'no map could be built: the images do not join into one reconstruction; record with '
            'more overlap and texture, moving sideways and not only turning'
        )
    findings = Findings(methods={'poses': f'{models[0].mapper} mapper'})
    recorded = odometry_of(images)
    scale = None
    if options.scale in ('auto', 'odometry'):
        scale = _scale_of_odometry(images, models[0], recorded, findings)
    if scale is not None:
        _compare(scale, _scale_of_rig(images, models[0], rigs), findings)
        return join_by_odometry(images, models, recorded, matches, scale, findings)
    if options.scale == 'odometry':
        raise HlocLocalizerError(
            'the scale cannot be found from odometry: '
            + (findings.notes[-1] if findings.notes else 'too few images have odometry')
        )
    return _alone(images, models, rigs, options, findings)


def _scale_of_rig(
    images: Sequence[MapImage], model: Model, rigs: Sequence[CameraRig]
) -> metric.Scale | None:
    return metric.scale_from_rig(images, model.images, model.poses, model.tracks, rigs)


def _compare(odometry: metric.Scale, rig: metric.Scale | None, findings: Findings) -> None:
    """Note where two ways to the scale contradict each other: one is wrong, and nobody knows it."""
    if rig is None or rig.spread > _LARGEST_SPREAD:
        return
    ratio = odometry.metres_per_unit / rig.metres_per_unit
    findings.alignment['odometry_scale_over_rig'] = ratio
    if abs(np.log(ratio)) > _LARGEST_CONTRADICTION:
        findings.notes.append(
            f'by odometry the map is {ratio:.2f} times as large as by the mounting of the cameras; '
            'odometry is believed: check it and /tf_static, or choose with --set metric.scale=rig'
        )


def _scale_of_odometry(
    images: Sequence[MapImage], model: Model, recorded: Array, findings: Findings
) -> metric.Scale | None:
    sessions = [images[index].session for index in model.images.tolist()]
    scale = metric.scale_from_odometry(model.poses, recorded[model.images], sessions)
    if scale is None:
        if np.isfinite(recorded).any():
            findings.notes.append(
                'odometry does not tell the scale: the camera moved too little in it'
            )
        return None
    if not agrees(scale):
        findings.notes.append(
            f'odometry and images disagree (by {scale.spread:.0%} of short ways and '
            f'{scale.turn_spread:.0%} of turns), so odometry is not used; check that its stamps '
            'are of the same clock, that it does not slip, and how the camera is mounted'
        )
        return None
    return scale


def _alone(
    images: Sequence[MapImage],
    models: Sequence[Model],
    rigs: Sequence[CameraRig],
    options: MetricOptions,
    findings: Findings,
) -> Placement:
    model = models[0]
    factor = _factor(images, model, rigs, options, findings)
    poses = model.poses.copy()
    poses[:, :3, 3] *= factor if factor else _UNSCALED_DEPTH / median_depth(model)
    level = _level(images, model, poses, findings)
    if level is not None:
        poses = transforms.transform_from(level, [0.0, 0.0, 0.0]) @ poses
    else:
        findings.notes.append('which way is up is not known: z of the map need not be up')
    poses = _at_origin(poses, level is not None)
    tell_lost(images, model.images, [model], models, findings)
    return Placement(
        images=model.images,
        poses=poses,
        cameras=model.cameras,
        metric=bool(factor),
        gravity_aligned=level is not None,
        alignment=findings.alignment,
        methods=findings.methods,
        notes=tuple(findings.notes),
    )


def _factor(
    images: Sequence[MapImage],
    model: Model,
    rigs: Sequence[CameraRig],
    options: MetricOptions,
    findings: Findings,
) -> float:
    """Return metres per unit, 0 where nothing tells."""
    if options.scale in ('auto', 'distance') and options.known_distance_m > 0.0:
        findings.methods['scale'] = 'known distance'
        return options.known_distance_m / _distance(images, model, options)
    if options.scale == 'distance':
        raise HlocLocalizerError('metric.scale is distance: give metric.known_distance_m')
    measured: dict[str, Callable[[], metric.Scale | None]] = {
        'rig': lambda: _scale_of_rig(images, model, rigs),
        'depth': lambda: metric.scale_from_depth(images, model.images, model.poses, model.tracks),
    }
    for method, measure in measured.items():
        scale = measure() if options.scale in ('auto', method) else None
        if scale is not None and scale.spread <= _LARGEST_SPREAD:
            findings.methods['scale'] = method
            findings.alignment['scale_relative_error'] = scale.relative_error
            findings.alignment[f'{method}_spread'] = scale.spread
            return scale.metres_per_unit
        if scale is not None:
            findings.notes.append(
                f'the scale by {method} differs too much from image to image ({scale.spread:.0%}) '
                'and is not used; check that it is of this camera'
            )
        if options.scale == method:
            raise HlocLocalizerError(_MISSING[method])
    findings.methods['scale'] = 'none'
    findings.notes.append(
        'the map is NOT METRIC: nothing tells its scale; record odometry, depth or a second '
        'camera, or give a distance with --set metric.known_distance_m=... '
        'metric.distance_between=FIRST,SECOND'
    )
    return 0.0


_LARGEST_SPREAD = 0.2
_LARGEST_CONTRADICTION = 0.05
_MISSING = {
    'rig': (
        'the scale cannot be found from the mounting of the cameras: too few moments at which '
        'two of them found a place; record both cameras with the same stamps and /tf_static'
    ),
    'depth': (
        'the scale cannot be found from depth: too few keypoints have one; give the topic with '
        '--set source.depth_topic=TOPIC'
    ),
}


def _distance(images: Sequence[MapImage], model: Model, options: MetricOptions) -> float:
    """Return the distance of two images in the unit of the model."""
    names = [each.strip() for each in options.distance_between.split(',') if each.strip()]
    placed = {images[index].name: number for number, index in enumerate(model.images.tolist())}
    if not names:
        names = [next(iter(placed)), list(placed)[-1]]
    if len(names) != 2 or any(name not in placed for name in names):
        raise HlocLocalizerError(
            f"metric.distance_between '{options.distance_between}': give two images of the map by "
            f"name, as '{next(iter(placed))},{list(placed)[-1]}'"
        )
    first, second = (model.poses[placed[name], :3, 3] for name in names)
    distance = float(np.linalg.norm(first - second))
    if distance <= 0.0:
        raise HlocLocalizerError('metric.distance_between: both images were taken at one place')
    return distance


def _level(
    images: Sequence[MapImage],
    model: Model,
    poses: Array,
    findings: Findings,
) -> NDArray[np.float64] | None:
    ups = [
        pose[:3, :3] @ measured
        for index, pose in zip(model.images.tolist(), poses, strict=True)
        if (measured := images[index].up_in_camera) is not None
    ]
    for method, up in (
        ('imu', metric.mean_direction(np.stack(ups)) if len(ups) >= 3 else None),
        ('cameras', metric.up_from_cameras(poses)),
    ):
        if up is not None:
            findings.methods['gravity'] = method
            findings.alignment['gravity_spread_deg'] = up.spread_deg
            return metric.level_rotation(up.direction)
    findings.methods['gravity'] = 'none'
    return None


def _at_origin(poses: Array, level: bool) -> Array:
    """Put the first camera at the origin, looking along x where the map is level."""
    turn = np.eye(3)
    ahead = poses[0, :3, 2]
    if level and np.hypot(ahead[0], ahead[1]) > 0.1:
        turn = transforms.rotation_from_rotvec([0.0, 0.0, -np.arctan2(ahead[1], ahead[0])])
    return np.asarray(transforms.transform_from(turn, -turn @ poses[0, :3, 3]) @ poses)
