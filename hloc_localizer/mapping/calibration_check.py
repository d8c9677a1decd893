"""Whether the focal length of a recording is that of its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.colmap_scene import colmap_camera
from hloc_localizer.mapping.matching import MapImage, PairMatches, match_distances
from hloc_localizer.mapping.structure_from_motion import Calibration
from hloc_localizer.mapping.two_view import verify_pairs

_FACTORS = np.array([0.6, 0.7, 0.82, 1.0, 1.2, 1.43, 1.7])
_PAIRS = 40
_MIN_PAIRS = 12
_MIN_MATCHES = 60
_MIN_DISPLACEMENT = 0.08
"""Of the matches, as a share of the width: neighbours in a recording say little."""
_MAX_ERROR_PX = 2.0
_LARGEST_FACTOR = 1.13
"""Up to here building refines the focal length by itself."""
_BETTER = 0.95
"""
How small the error must become, relative to that of the calibration, to doubt it.

30 % off gives 0.83 to 0.92 on two recordings, 10 % off 0.98, and none off 1.
"""


def check_focal_lengths(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    refine: Sequence[bool],
    matches: PairMatches,
    *,
    seed: int,
    threads: int,
) -> None:
    """
    Refuse a calibration whose focal length the images contradict.

    Two views of a wrong focal length can be brought together, but not as well: their matches stay
    further from the epipolar lines.

    :param refine: of each camera, whether it is only a first guess and not checked.
    :raises InputError: naming both focal lengths.
    """
    for number, camera in enumerate(cameras):
        if refine[number]:
            continue
        chosen = _chosen(images, number, matches)
        if len(chosen) < _MIN_PAIRS:
            continue
        errors = _errors(images, camera, number, chosen, seed=seed, threads=threads)
        factor, gain = _best(errors)
        if gain <= _BETTER and max(factor, 1.0 / factor) > _LARGEST_FACTOR:
            raise InputError(
                f'the calibration does not fit the images: it says a focal length of '
                f'{camera.focal_px:.0f} px, they fit about {camera.focal_px * factor:.0f} px; '
                'check that it is of this camera at this image size, and give the right one with '
                '--set source.camera_info_file=FILE'
            )


def _chosen(images: Sequence[MapImage], camera: int, matches: PairMatches) -> PairMatches:
    """Choose pairs with many matches, from all over the recording."""
    pairs = [
        (first, second)
        for (first, second), found in sorted(matches.items())
        if len(found) >= _MIN_MATCHES
        and images[first].camera == images[second].camera == camera
        and _displacement(images[first], images[second], found) >= _MIN_DISPLACEMENT
    ]
    step = max(len(pairs) // _PAIRS, 1)
    return {pair: matches[pair] for pair in pairs[::step][:_PAIRS]}


def _displacement(first: MapImage, second: MapImage, matches: NDArray[np.int32]) -> float:
    """Return the median displacement of matches as a share of the image's width."""
    moved = second.features.keypoints[matches[:, 1]] - first.features.keypoints[matches[:, 0]]
    return float(np.median(np.linalg.norm(moved, axis=1)) / first.features.image_size[0])


def _errors(
    images: Sequence[MapImage],
    camera: Camera,
    number: int,
    matches: PairMatches,
    *,
    seed: int,
    threads: int,
) -> NDArray[np.float64]:
    """Return the mean epipolar error, in pixels, for each factor of the focal length."""
    errors = []
    for factor in _FACTORS.tolist():
        scaled = _scaled(camera, factor)
        geometries = verify_pairs(
            images,
            Calibration((scaled,) * (number + 1), (), (True,) * (number + 1)).translated(),
            matches,
            max_error_px=_MAX_ERROR_PX,
            seed=seed,
            threads=threads,
            advance=lambda steps: None,
        )
        costs = [
            _cost(images, scaled, pair, matches[pair], geometries[pair].cam2_from_cam1)
            if pair in geometries
            else _MAX_ERROR_PX
            for pair in matches
        ]
        errors.append(float(np.mean(costs)))
    return np.array(errors)


def _cost(
    images: Sequence[MapImage],
    camera: Camera,
    pair: tuple[int, int],
    matches: NDArray[np.int32],
    second_from_first: Any,
) -> float:
    """Return the root mean square of the epipolar errors of all matches, cut off, in pixels."""
    if second_from_first is None:
        return _MAX_ERROR_PX
    rays = [
        camera.normalise(images[index].features.keypoints[matches[:, side]])
        for side, index in enumerate(pair)
    ]
    moved = np.vstack([second_from_first.matrix(), [0.0, 0.0, 0.0, 1.0]])
    distances = match_distances(rays[0], rays[1], moved) * camera.focal_px
    return float(np.sqrt(np.mean(np.minimum(distances, _MAX_ERROR_PX) ** 2)))


def _scaled(camera: Camera, factor: float) -> Camera:
    translated = colmap_camera(camera, 1)
    parameters = np.array(translated.params)
    parameters[list(translated.focal_length_idxs())] *= factor
    return Camera.from_colmap(camera.model, camera.width, camera.height, parameters.tolist())


def _best(errors: NDArray[np.float64]) -> tuple[float, float]:
    """Return the factor of least error, between the samples too, and that error's share."""
    given = int(np.flatnonzero(_FACTORS == 1.0)[0])
    least = int(np.argmin(errors))
    if not np.isfinite(errors).all() or errors[given] <= 0.0:
        return 1.0, 1.0
    x = np.log(_FACTORS)
    best = x[least]
    if 0 < least < len(x) - 1:
        a, b, _ = np.polyfit(x[least - 1 : least + 2], errors[least - 1 : least + 2], 2)
        best = -b / (2.0 * a) if a > 0.0 else best
    return float(np.exp(best)), float(errors[least] / errors[given])
