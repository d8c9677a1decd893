"""Pose chain: rigs at successive times, tied by odometry, refined together with covariance."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.absolute_pose import MIN_MATCHES, whitened, whitening_of
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.robust import robust_normal
from hloc_localizer.geometry.solution_covariance import (
    cell_width,
    direction_cells,
    solution_covariance,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """The matches of one camera mounted on a rig."""

    camera: Camera
    rig_from_camera: Array
    """(4, 4)."""
    keypoints: Array
    """(N, 2) pixels."""
    points: Array
    """(N, 3) in the map."""
    noise_px: Array
    """(N, 2, 2) covariance expected of each residual, in square pixels."""

    @cached_property
    def whitening(self) -> Array:
        """What (N, 2, 2) residuals are multiplied by to have unit variance."""
        return whitening_of(self.noise_px)

    def subset(self, mask: NDArray[Any], *, noise_px: Array | None = None) -> View:
        """Return the matches (N,) of a mask, with other covariances if given."""
        return dataclasses.replace(
            self,
            keypoints=self.keypoints[mask],
            points=self.points[mask],
            noise_px=self.noise_px[mask] if noise_px is None else noise_px,
        )


@dataclass(frozen=True)
class Tie:
    """What odometry says of two successive poses of the rig."""

    older_from_newer: Array
    """(4, 4)."""
    position_sigma_m: float
    """Standard deviation of each axis."""
    rotation_sigma: float
    """Standard deviation about each axis, radians."""


@dataclass(frozen=True)
class ChainPose:
    """The poses of a chain at the minimum of its robust error."""

    map_from_rigs: tuple[Array, ...]
    """(4, 4) each, oldest first."""
    covariance: Array
    """(6, 6) of the newest: x y z and rotations about the fixed map axes; metres and radians."""

    @property
    def map_from_rig(self) -> Array:
        """The newest pose."""
        return self.map_from_rigs[-1]


def refine_rig(
    views: Sequence[View], map_from_rig: Array, *, iterations: int = 15
) -> ChainPose | None:
    """Refine the pose of a rig whose cameras are rigidly mounted: a chain of one."""
    return refine_chain([views], [], [map_from_rig], iterations=iterations)


def refine_chain(
    moments: Sequence[Sequence[View]],
    ties: Sequence[Tie],
    map_from_rigs: Sequence[Array],
    *,
    iterations: int = 15,
) -> ChainPose | None:
    """
    Minimise reprojection errors (Cauchy loss) and odometry errors over all poses of a chain.

    Every pose is free, so that the uncertainty of the odometry between two frames counts once for
    all matches of a frame: it does not average out as independent errors of the matches would.

    :param moments: the views at each time, oldest first.
    :param ties: one between each two successive times.
    :param map_from_rigs: where to start from.
    :returns: None when the matches do not determine the newest pose.
    """
    if len(ties) != len(moments) - 1 or len(map_from_rigs) != len(moments):
        raise ValueError(f'{len(moments)} moments, {len(ties)} ties, {len(map_from_rigs)} poses')
    if sum(len(view.points) for views in moments for view in views) < MIN_MATCHES:
        return None
    chain = _Chain(moments, ties)
    poses, damping = np.array(map_from_rigs, np.float64), 1e-4
    cost, normal, gradient = chain.linearise(poses)
    for _ in range(iterations):
        try:
            damped = normal + damping * np.diag(np.diag(normal))
            step = np.asarray(-np.linalg.solve(damped, gradient), np.float64)
        except np.linalg.LinAlgError:
            return None
        trial = _disturbed(poses, step.reshape(-1, 6))
        trial_cost, trial_normal, trial_gradient = chain.linearise(trial)
        if not trial_cost <= cost:
            damping *= 10.0
            if damping > 1e6:
                break
            continue
        converged = cost - trial_cost < 1e-6 * max(cost, 1e-12)
        poses, cost, normal, gradient = trial, trial_cost, trial_normal, trial_gradient
        damping = max(damping * 0.1, 1e-9)
        if converged:
            break
    return chain.with_covariance(poses)


def tie_residuals(ties: Sequence[Tie], poses: Array) -> Array:
    """Return (n-1, 6) how poses differ from what odometry says, in standard deviations."""
    if not ties:
        return np.zeros((0, 6))
    said = np.stack([tie.older_from_newer for tie in ties])
    seen = transforms.invert(poses[:-1]) @ poses[1:]
    moved = seen[:, :3, 3] - said[:, :3, 3]
    turned = transforms.rotvec_from_rotation(said[:, :3, :3].swapaxes(1, 2) @ seen[:, :3, :3])
    return np.concatenate([moved, turned], axis=1) / _tie_sigmas(ties)


def tie_jacobians(ties: Sequence[Tie], poses: Array) -> Array:
    """
    Differentiate :func:`tie_residuals` by both poses, disturbed as ``t + dt`` and ``exp(w) R``.

    :returns: (n-1, 6, 12) by the older and the newer pose, to first order in the residual.
    """
    jacobians = np.zeros((len(ties), 6, 12))
    if not ties:
        return jacobians
    sigmas = _tie_sigmas(ties)
    older, newer = poses[:-1], poses[1:]
    back = older[:, :3, :3].swapaxes(1, 2)
    jacobians[:, :3, 6:9], jacobians[:, :3, :3] = back, -back
    jacobians[:, :3, 3:6] = back @ transforms.hat(newer[:, :3, 3] - older[:, :3, 3])
    residuals = tie_residuals(ties, poses)[:, 3:] * sigmas[:, 3:]
    turn = (np.eye(3) + 0.5 * transforms.hat(residuals)) @ newer[:, :3, :3].swapaxes(1, 2)
    jacobians[:, 3:, 9:], jacobians[:, 3:, 3:6] = turn, -turn
    return jacobians / sigmas[:, :, None]


def _tie_sigmas(ties: Sequence[Tie]) -> Array:
    return np.repeat([[tie.position_sigma_m, tie.rotation_sigma] for tie in ties], 3, axis=1)


def project_view(view: View, map_from_rig: Array) -> tuple[Array, Array]:
    """
    Return the residuals (N, 2) of a view, and differentiate them by the pose of its rig.

    The rig is disturbed as ``t + dt`` and ``exp(w) R`` about its own origin.

    :returns: projections minus keypoints in pixels, NaN behind the camera; (N, 2, 6).
    """
    map_from_camera = map_from_rig @ view.rig_from_camera
    rotation = map_from_camera[:3, :3]
    in_camera = (view.points - map_from_camera[:3, 3]) @ rotation
    pixels, by_point = view.camera.project_with_jacobian(in_camera)
    by_offset = by_point @ rotation.T
    lever = transforms.hat(view.points - map_from_rig[:3, 3])
    return pixels - view.keypoints, np.concatenate([-by_offset, by_offset @ lever], axis=2)


def _disturbed(poses: Array, steps: Array) -> Array:
    rotations = transforms.rotation_from_rotvec(steps[:, 3:]) @ poses[:, :3, :3]
    return transforms.transform_from(rotations, poses[:, :3, 3] + steps[:, :3])


class _Chain:
    """The error of a chain as a function of its poses."""

    def __init__(self, moments: Sequence[Sequence[View]], ties: Sequence[Tie]) -> None:
        self._moments = moments
        self._ties = ties

    def linearise(self, poses: Array) -> tuple[float, Array, Array]:
        """Return the cost, the normal matrix (6n, 6n) and the gradient (6n,)."""
        size = 6 * len(poses)
        normal, gradient, cost = np.zeros((size, size)), np.zeros(size), 0.0
        for index, (views, pose) in enumerate(zip(self._moments, poses, strict=True)):
            own = slice(6 * index, 6 * index + 6)
            for view in views:
                residuals, jacobian = project_view(view, pose)
                added, block, slope = robust_normal(
                    whitened(residuals, view.whitening), view.whitening @ jacobian
                )
                cost += added
                normal[own, own] += block
                gradient[own] += slope
        residuals = tie_residuals(self._ties, poses)
        cost += float(np.sum(residuals**2))
        for index, jacobian in enumerate(tie_jacobians(self._ties, poses)):
            gradient[6 * index : 6 * index + 12] += jacobian.T @ residuals[index]
        return cost, normal + self._tied(poses), gradient

    def with_covariance(self, poses: Array) -> ChainPose | None:
        """Add the covariance of the newest pose; parts of the scene are those it would see."""
        residuals, jacobians = [np.zeros((0, 2))], [np.zeros((0, 2, 6))]
        cells, moments = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
        cameras = [view.camera for views in self._moments for view in views]
        width = min(cell_width(camera.width, camera.focal_px) for camera in cameras)
        for index, (views, pose) in enumerate(zip(self._moments, poses, strict=True)):
            for view in views:
                raw, jacobian = project_view(view, pose)
                residuals.append(whitened(raw, view.whitening))
                jacobians.append(view.whitening @ jacobian)
                cells.append(direction_cells(view.points, poses[-1, :3, 3], width))
                moments.append(np.full(len(raw), index))
        covariance = solution_covariance(
            np.concatenate(residuals),
            np.concatenate(jacobians),
            np.concatenate(cells),
            np.concatenate(moments),
            self._tied(poses),
        )
        return None if covariance is None else ChainPose(tuple(poses), covariance)

    def _tied(self, poses: Array) -> Array:
        """Return the information (6n, 6n) of the odometry."""
        size = 6 * len(poses)
        information = np.zeros((size, size))
        for index, jacobian in enumerate(tie_jacobians(self._ties, poses)):
            both = slice(6 * index, 6 * index + 12)
            information[both, both] += jacobian.T @ jacobian
        return information
