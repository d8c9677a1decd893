"""Absolute pose: a camera's pose from 2D-3D matches, robustly, then refined with its covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.robust import robust_normal
from hloc_localizer.geometry.solution_covariance import (
    cell_width,
    direction_cells,
    solution_covariance,
)
from hloc_localizer.options import Options, option

Array = NDArray[np.float64]

MIN_MATCHES = 4


@dataclass(frozen=True)
class AbsolutePoseOptions(Options):
    """How outliers are told from inliers."""

    max_error_px: float = option(
        8.0, 'Largest reprojection error of an inlier while searching.', minimum=0.5, maximum=100.0
    )
    max_iterations: int = option(600, 'Most hypotheses tried.', minimum=10, maximum=1000000)
    confidence: float = option(
        0.999, 'Probability of having drawn one sample of inliers only.', minimum=0.5, maximum=1.0
    )
    seed: int = option(0, 'Seed of the sampling: same input, same pose.', minimum=0)


@dataclass(frozen=True)
class RefinedPose:
    """A pose at the minimum of its robust reprojection error."""

    map_from_camera: Array
    """(4, 4)."""
    covariance: Array
    """(6, 6) of x y z and rotations about the fixed map axes; metres and radians."""


def estimate_absolute_pose(
    camera: Camera,
    keypoints: NDArray[Any],
    points: NDArray[Any],
    options: AbsolutePoseOptions,
    *,
    min_inliers: int = MIN_MATCHES,
) -> tuple[Array, NDArray[np.bool_]] | None:
    """
    Find a pose that many matches agree with (OpenCV's USAC: P3P with an MSAC score).

    Distortion is undone first, so that every camera model is served; the error is measured on a
    pinhole image of the same focal length.

    :param keypoints: (N, 2) pixels, the surest matches first.
    :param points: (N, 3) in the map.
    :param min_inliers: fewest inliers worth finding: among few matches it takes few samples to find
        so many, or to know that they are not there.
    :returns: ``map_from_camera`` (4, 4) and the inliers (N,), or None.
    """
    focal = camera.focal_px
    plane = camera.normalise(keypoints)
    usable = np.flatnonzero(np.all(np.isfinite(plane), axis=1))
    if len(usable) < MIN_MATCHES:
        return None
    # Far from the origin the solver loses digits.
    centre = points[usable].mean(axis=0, dtype=np.float64)
    try:
        found, _, rotvec, translation, inliers = cv2.solvePnPRansac(
            np.ascontiguousarray(points[usable] - centre, np.float64),
            np.ascontiguousarray(plane[usable] * focal, np.float64),
            np.diag([focal, focal, 1.0]),
            np.zeros(4),
            params=_usac_parameters(options, _samples_needed(len(usable), min_inliers)),
        )
    except cv2.error:  # a degenerate set of points
        return None
    if not found or inliers is None or len(inliers) < MIN_MATCHES:
        return None
    camera_from_centred = transforms.transform_from(
        transforms.rotation_from_rotvec(rotvec.ravel()), translation.ravel()
    )
    map_from_camera = transforms.invert(camera_from_centred)
    map_from_camera[:3, 3] += centre
    if not np.all(np.isfinite(map_from_camera)):
        return None
    mask = np.zeros(len(keypoints), np.bool_)
    mask[usable[inliers.ravel()]] = True
    return map_from_camera, mask


def _samples_needed(matches: int, min_inliers: int) -> int:
    """Return how many samples of three find a sample of inliers only, if there are so many."""
    share = min(min_inliers / matches, 0.9)
    needed = np.log1p(-_CONFIDENCE_OF_NONE) / np.log1p(-(share**3))
    return max(int(np.ceil(needed)), _LEAST_SAMPLES)


_CONFIDENCE_OF_NONE = 0.9
_LEAST_SAMPLES = 20


def _usac_parameters(options: AbsolutePoseOptions, samples: int) -> Any:
    parameters = cv2.UsacParams()
    parameters.threshold = options.max_error_px
    parameters.confidence = min(options.confidence, 0.999999)
    parameters.maxIterations = min(options.max_iterations, samples)
    parameters.randomGeneratorState = options.seed
    parameters.isParallel = False
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.score = cv2.SCORE_METHOD_MSAC
    # What is found is refined by all matches that agree afterwards, so that polishing every
    # hypothesis on the way takes four times as long and gains nothing.
    parameters.loMethod = cv2.LOCAL_OPTIM_NULL
    return parameters


def reprojection_residuals(
    camera: Camera,
    map_from_camera: Array,
    keypoints: NDArray[Any],
    points: NDArray[Any],
) -> Array:
    """Return projections minus keypoints (N, 2) in pixels; NaN for points behind the camera."""
    in_camera = transforms.apply(transforms.invert(map_from_camera), points)
    return np.asarray(camera.project(in_camera) - keypoints)


def reprojection_jacobian(camera: Camera, map_from_camera: Array, points: Array) -> Array:
    """
    Differentiate the projections by the pose.

    The pose is disturbed as ``t + dt`` and ``exp(w) R``: translation in the map, rotation about
    the fixed axes of the map at the camera's centre, which is ROS's order of a covariance.

    :returns: (N, 2, 6).
    """
    return _project_with_jacobian(camera, map_from_camera, points)[1]


def _project_with_jacobian(
    camera: Camera, map_from_camera: Array, points: Array
) -> tuple[Array, Array]:
    rotation, centre = map_from_camera[:3, :3], map_from_camera[:3, 3]
    offsets = points - centre
    pixels, by_point = camera.project_with_jacobian(offsets @ rotation)
    by_offset = by_point @ rotation.T
    jacobian = np.empty((len(points), 2, 6))
    jacobian[:, :, :3] = -by_offset
    # The product with hat(offset) is a cross product, written out: numpy's is slow for many.
    (u, v, w), (x, y, z) = np.moveaxis(by_offset, 2, 0), offsets.T[:, :, None]
    jacobian[:, :, 3] = v * z - w * y
    jacobian[:, :, 4] = w * x - u * z
    jacobian[:, :, 5] = u * y - v * x
    return pixels, jacobian


def refine_absolute_pose(
    camera: Camera,
    map_from_camera: Array,
    keypoints: NDArray[Any],
    points: NDArray[Any],
    *,
    noise_px: NDArray[Any],
    iterations: int = 15,
) -> RefinedPose | None:
    """
    Minimise the reprojection error under a Cauchy loss, by iterated Levenberg-Marquardt.

    :param map_from_camera: (4, 4) to start from.
    :param keypoints: (N, 2) pixels.
    :param points: (N, 3).
    :param noise_px: (N, 2, 2) covariance expected of each residual, in square pixels.
    :returns: the pose with its :func:`covariance
        <hloc_localizer.geometry.solution_covariance.solution_covariance>`; None when the points do
        not determine a pose.
    """
    keypoints = np.asarray(keypoints, np.float64)
    points = np.asarray(points, np.float64)
    whitening = whitening_of(noise_px)
    pose, damping = np.array(map_from_camera, np.float64), 1e-4
    cost, normal, gradient = _linearise(camera, pose, keypoints, points, whitening)
    for _ in range(iterations):
        damped = normal + damping * np.diag(np.diag(normal))
        try:
            step = np.asarray(-np.linalg.solve(damped, gradient), np.float64)
        except np.linalg.LinAlgError:
            return None
        trial = _disturb(pose, step)
        trial_cost, trial_normal, trial_gradient = _linearise(
            camera, trial, keypoints, points, whitening
        )
        if trial_cost > cost:
            damping *= 10.0
            if damping > 1e6:
                break
            continue
        converged = cost - trial_cost < _CONVERGED * max(cost, 1e-12)
        pose, cost, normal, gradient = trial, trial_cost, trial_normal, trial_gradient
        damping = max(damping * 0.1, 1e-9)
        if converged:
            break
    return _with_covariance(camera, pose, keypoints, points, whitening)


_CONVERGED = 1e-4
"""Share of the cost that the last step took off: the pose then moves by far less than its sigma."""


def _disturb(pose: Array, step: Array) -> Array:
    rotation = transforms.rotation_from_rotvec(step[3:]) @ pose[:3, :3]
    return transforms.transform_from(rotation, pose[:3, 3] + step[:3])


def whitening_of(noise_px: NDArray[Any]) -> Array:
    """
    Return the lower triangular W (N, 2, 2) with ``W C W' = 1`` for covariances C (N, 2, 2).

    It is the inverse of C's Cholesky factor: residuals multiplied by it have unit variance.
    """
    noise = np.asarray(noise_px, np.float64)
    first = np.sqrt(noise[:, 0, 0])
    mixed = noise[:, 0, 1] / first
    second = np.sqrt(np.maximum(noise[:, 1, 1] - mixed**2, 1e-12 * noise[:, 1, 1]))
    whitening = np.zeros_like(noise)
    whitening[:, 0, 0] = 1.0 / first
    whitening[:, 1, 0] = -mixed / (first * second)
    whitening[:, 1, 1] = 1.0 / second
    return whitening


def relative_errors(
    camera: Camera,
    map_from_camera: Array,
    keypoints: NDArray[Any],
    points: NDArray[Any],
    noise_px: NDArray[Any],
) -> Array:
    """Return the errors (N,) of matches in standard deviations; infinite behind the camera."""
    residuals = reprojection_residuals(camera, map_from_camera, keypoints, points)
    errors = np.linalg.norm(whitened(residuals, whitening_of(noise_px)), axis=1)
    return np.where(np.isfinite(errors), errors, np.inf)


def whitened(residuals: Array, whitening: Array) -> Array:
    """Return residuals (N, 2) multiplied by what :func:`whitening_of` gave."""
    first = whitening[:, 0, 0] * residuals[:, 0]
    second = whitening[:, 1, 0] * residuals[:, 0] + whitening[:, 1, 1] * residuals[:, 1]
    return np.stack([first, second], axis=1)


def _linearise(
    camera: Camera, pose: Array, keypoints: Array, points: Array, whitening: Array
) -> tuple[float, Array, Array]:
    """Return the robust cost, the normal matrix (6, 6) and the gradient (6,)."""
    pixels, jacobian = _project_with_jacobian(camera, pose, points)
    return robust_normal(whitened(pixels - keypoints, whitening), whitening @ jacobian)


def _with_covariance(
    camera: Camera, pose: Array, keypoints: Array, points: Array, whitening: Array
) -> RefinedPose | None:
    pixels, jacobian = _project_with_jacobian(camera, pose, points)
    covariance = solution_covariance(
        whitened(pixels - keypoints, whitening),
        whitening @ jacobian,
        direction_cells(points, pose[:3, 3], cell_width(camera.width, camera.focal_px)),
    )
    return None if covariance is None else RefinedPose(pose, covariance)
