"""Which matches of two images fit a still scene and a moving camera, without knowing any pose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pycolmap
from numpy.typing import NDArray

from hloc_localizer.mapping.matching import MapImage, PairMatches

Geometries = dict[tuple[int, int], pycolmap.TwoViewGeometry]
"""Geometries of pairs of image indices, the smaller index first."""

_MIN_MATCHES = 20
_MAX_TRIALS = 1000
_USELESS = (
    pycolmap.TwoViewGeometryConfiguration.UNDEFINED,
    pycolmap.TwoViewGeometryConfiguration.DEGENERATE,
)


def verify_pairs(
    images: Sequence[MapImage],
    cameras: Sequence[pycolmap.Camera],
    matches: PairMatches,
    *,
    max_error_px: float,
    seed: int,
    threads: int,
    advance: Callable[[int], None],
) -> Geometries:
    """
    Estimate how the camera moved between two images; keep the pairs where that succeeds.

    :param cameras: C cameras in the order of their indices; those with a prior focal length are
        taken for calibrated.
    :param seed: of the random samples; the same seed gives the same result.
    """
    options = pycolmap.TwoViewGeometryOptions()
    options.compute_relative_pose = True
    options.detect_watermark = False
    options.ransac.max_error = max_error_px
    options.ransac.max_num_trials = _MAX_TRIALS
    options.ransac.random_seed = seed
    points = [image.features.keypoints.astype(np.float64) + 0.5 for image in images]

    def estimate(pair: tuple[int, int]) -> pycolmap.TwoViewGeometry:
        first, second = pair
        geometry = pycolmap.estimate_two_view_geometry(
            cameras[images[first].camera],
            points[first],
            cameras[images[second].camera],
            points[second],
            matches[pair].astype(np.uint32),
            options,
        )
        advance(1)
        return geometry

    pairs = [pair for pair, found in matches.items() if len(found) >= _MIN_MATCHES]
    advance(len(matches) - len(pairs))
    with ThreadPoolExecutor(threads) as pool:
        geometries = dict(zip(pairs, pool.map(estimate, pairs), strict=True))
    return {
        pair: geometry
        for pair, geometry in geometries.items()
        if pycolmap.TwoViewGeometryConfiguration(geometry.config) not in _USELESS
    }


def inlier_matches(geometries: Geometries) -> PairMatches:
    """Return the matches that fit."""
    return {
        pair: np.asarray(geometry.inlier_matches, np.int32).reshape(-1, 2)
        for pair, geometry in geometries.items()
    }


def share_of_turns(
    images: Sequence[MapImage],
    matches: PairMatches,
    focal_px: Sequence[float],
    *,
    zoom: float = 1.0,
    max_error_px: float = 2.0,
) -> float:
    """
    Return the share of pairs whose matches a mere turn of the camera explains.

    Without translation there are no distances, whatever a reconstruction makes of such pairs.

    :param matches: verified matches.
    :param focal_px: of each camera.
    :param zoom: how many times as long the focal lengths are taken to be.
    """
    turned = []
    for (first, second), indices in matches.items():
        rays = [
            _rays(images[index].plane[indices[:, side]] / zoom)
            for side, index in enumerate((first, second))
        ]
        usable = np.isfinite(rays[0]).all(axis=1) & np.isfinite(rays[1]).all(axis=1)
        if np.count_nonzero(usable) < _MIN_MATCHES:
            continue
        errors = _turn_errors(rays[0][usable], rays[1][usable])
        turned.append(np.median(errors) * zoom * focal_px[images[first].camera] <= max_error_px)
    return float(np.mean(turned)) if turned else 0.0


def _rays(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _turn_errors(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles (N,) left by the rotation that best turns rays into each other."""
    kept = np.ones(len(first), bool)
    errors = np.zeros(len(first))
    for _ in range(3):
        left, _, right = np.linalg.svd(second[kept].T @ first[kept])
        rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
        errors = np.linalg.norm(second - first @ rotation.T, axis=1)
        kept = errors <= max(2.0 * float(np.median(errors)), 1e-9)
    return errors
