"""From verified matches to refined poses and points, with pycolmap."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.colmap_scene import (
    cameras_of,
    colmap_camera,
    posed_reconstruction,
    poses_of,
    write_database,
)
from hloc_localizer.mapping.matching import MapImage, PairMatches, verify_matches
from hloc_localizer.mapping.options import ReconstructionOptions
from hloc_localizer.mapping.rigs import CameraRig


def reconstruct(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    matches: PairMatches,
    options: ReconstructionOptions,
    *,
    workspace: Path,
    threads: int,
    rigs: Sequence[CameraRig] = (),
    show: Callable[[pycolmap.Reconstruction], None] | None = None,
) -> tuple[pycolmap.Reconstruction, list[Camera]]:
    """
    Triangulate from the recorded poses, refine, and triangulate again from the refined ones.

    The first pass must let in what poses a few centimetres off make of a match; the second sees
    sharply.

    :param workspace: an existing folder for scratch files.
    :param rigs: cameras that are mounted together; their images of one moment share one pose.
    :param show: called with the points as soon as there are some.
    :returns: the reconstruction, and the cameras with their refined calibration.
    """
    recorded = [image.map_from_camera for image in images]
    refined = list(cameras)
    verified = verify_matches(
        images, recorded, cameras, matches, max_error_px=options.max_epipolar_error_px
    )
    reconstruction = triangulate(images, cameras, recorded, verified, options, workspace, rigs)
    if show is not None:
        show(reconstruction)
    if not options.refine_poses or reconstruction.num_points3D() == 0:
        drop_bad_points(reconstruction, options)
        return reconstruction, refined
    adjust = partial(
        adjust_with_pose_priors,
        recorded=recorded,
        options=options,
        refine_intrinsics=options.refine_intrinsics and len(images) >= MIN_IMAGES_TO_CALIBRATE,
        threads=threads,
    )
    hold_rotations = _adjust_first(reconstruction, adjust, options)
    drop_bad_points(reconstruction, options)
    poses, refined = poses_of(reconstruction), cameras_of(reconstruction)
    images = [
        dataclasses.replace(image, plane=refined[image.camera].normalise(image.features.keypoints))
        for image in images
    ]
    verified = verify_matches(
        images, poses, refined, matches, max_error_px=options.refined_epipolar_error_px
    )
    reconstruction = triangulate(images, refined, poses, verified, options, workspace, rigs)
    if reconstruction.num_points3D() > 0:
        adjust(reconstruction, hold_rotations=hold_rotations)
        drop_bad_points(reconstruction, options)
    return reconstruction, cameras_of(reconstruction)


def _adjust_first(
    reconstruction: pycolmap.Reconstruction,
    adjust: Callable[..., None],
    options: ReconstructionOptions,
) -> bool:
    """
    Adjust for the first time; decide whether the recorded rotations are to be held.

    They are, if the images fit them nearly as well as rotations of their own: the map then agrees
    with the robot's own frame. Otherwise the recording is not that good and the images know better.
    """
    if options.rotations != 'auto':
        hold = options.rotations == 'held'
        adjust(reconstruction, hold_rotations=hold)
        return hold
    free = copy.deepcopy(reconstruction)
    adjust(reconstruction, hold_rotations=True)
    adjust(free, hold_rotations=False)
    held_error, free_error = _median_error(reconstruction), _median_error(free)
    if held_error <= _HOLD_UP_TO * free_error:
        return True
    adjust(reconstruction, hold_rotations=False)
    return False


_HOLD_UP_TO = 1.5
MIN_IMAGES_TO_CALIBRATE = 10


def _median_error(reconstruction: pycolmap.Reconstruction) -> float:
    reconstruction.update_point_3d_errors()
    return float(np.median([point.error for point in reconstruction.points3D.values()]))


def triangulate(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    poses: Sequence[NDArray[np.float64]],
    matches: PairMatches,
    options: ReconstructionOptions,
    workspace: Path,
    rigs: Sequence[CameraRig] = (),
) -> pycolmap.Reconstruction:
    """
    Triangulate the tracks of verified matches from fixed poses.

    :param workspace: an existing folder for COLMAP's database.
    """
    database_path = workspace / 'database.db'
    database_path.unlink(missing_ok=True)
    _write_matches(database_path, images, cameras, matches, rigs)
    pipeline = pycolmap.IncrementalPipelineOptions()
    pipeline.triangulation.min_angle = options.min_triangulation_angle_deg
    pipeline.triangulation.ignore_two_view_tracks = options.min_track_length > 2
    pipeline.triangulation.complete_max_reproj_error = options.max_reprojection_error_px
    pipeline.triangulation.merge_max_reproj_error = options.max_reprojection_error_px
    pipeline.mapper.filter_max_reproj_error = options.max_reprojection_error_px
    pipeline.mapper.filter_min_tri_angle = options.min_triangulation_angle_deg
    pipeline.ba_global_max_num_iterations = 1
    pipeline.ba_global_max_refinements = 1
    pipeline.ba_refine_sensor_from_rig = False
    reconstruction = pycolmap.triangulate_points(
        posed_reconstruction(images, cameras, poses, rigs),
        database_path,
        workspace,
        workspace,
        options=pipeline,
    )
    database_path.unlink()
    return reconstruction


def _write_matches(
    path: Path,
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    matches: PairMatches,
    rigs: Sequence[CameraRig],
) -> None:
    geometries = {}
    for pair, indices in matches.items():
        geometry = pycolmap.TwoViewGeometry()
        # Without a configuration the mapper ignores the pair and says nothing.
        geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
        geometry.inlier_matches = indices.astype(np.uint32)
        geometries[pair] = geometry
    colmap_cameras = [colmap_camera(camera, index + 1) for index, camera in enumerate(cameras)]
    write_database(path, images, colmap_cameras, geometries, rigs)


def adjust_with_pose_priors(
    reconstruction: pycolmap.Reconstruction,
    *,
    recorded: Sequence[NDArray[np.float64]],
    options: ReconstructionOptions,
    hold_rotations: bool,
    refine_intrinsics: bool,
    threads: int,
) -> None:
    """
    Adjust poses and points together, the recorded positions weighing in as priors.

    An image with too few points to hold its rotation keeps its pose, and has no say.

    :param recorded: I poses (4, 4) as recorded.
    :param hold_rotations: whether the rotations stay as they are.
    :param refine_intrinsics: whether focal lengths and principal points may change; distortion
        stays, since a walk seldom covers the corners of the image well enough to know better.
    """
    config = pycolmap.BundleAdjustmentConfig()
    priors = []
    seen: Counter[int] = Counter()
    for image in reconstruction.images.values():
        seen[image.frame_id] += image.num_points3D
    stays = {
        frame_id: copy.deepcopy(frame.rig_from_world)
        for frame_id, frame in reconstruction.frames.items()
        if seen[frame_id] < MIN_POINTS_TO_MOVE
    }
    for image_id, image in reconstruction.images.items():
        if image.frame_id in stays:
            continue
        config.add_image(image_id)
        priors.append(
            pycolmap.PosePrior(
                pose_prior_id=image_id,
                corr_data_id=image.data_id,
                position=recorded[image_id - 1][:3, 3],
                position_covariance=np.eye(3) * options.prior_position_sigma_m**2,
                coordinate_system=pycolmap.PosePriorCoordinateSystem.CARTESIAN,
            )
        )
    if len(priors) < _MIN_IMAGES_TO_ADJUST:
        return
    if not refine_intrinsics:
        for camera_id in reconstruction.cameras:
            config.set_constant_cam_intrinsics(camera_id)
    priors_weigh = prior_options()
    # Before adjusting COLMAP aligns the map with the positions. From three of a nearly straight
    # path it would turn the map about it; all together they leave it nearly as it is.
    priors_weigh.alignment_ransac.max_error = _EVERY_POSITION_M
    adjuster = pycolmap.create_pose_prior_bundle_adjuster(
        adjustment_options(hold_rotations=hold_rotations, threads=threads),
        priors_weigh,
        config,
        priors,
        reconstruction,
    )
    adjuster.solve()
    moved = [prior.pose_prior_id - 1 for prior in priors]
    _turn_back(reconstruction, recorded, moved)
    for frame_id, rig_from_world in stays.items():
        reconstruction.frames[frame_id].rig_from_world = rig_from_world


def _turn_back(
    reconstruction: pycolmap.Reconstruction,
    recorded: Sequence[NDArray[np.float64]],
    moved: Sequence[int],
) -> None:
    """
    Undo the turn of the whole map by which COLMAP aligns it with the recorded positions.

    COLMAP's adjuster aligns by positions alone, which say little about the rotation about a short
    or straight path; the recorded rotations say it well.
    """
    poses = np.stack(poses_of(reconstruction))[moved]
    turns = poses[:, :3, :3] @ np.swapaxes(np.stack(recorded)[moved, :3, :3], 1, 2)
    left, _, right = np.linalg.svd(turns.sum(axis=0))
    turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    centre = poses[:, :3, 3].mean(axis=0)
    back = np.column_stack([turn.T, centre - turn.T @ centre])
    reconstruction.transform(pycolmap.Sim3d(back))


MIN_POINTS_TO_MOVE = 20
_MIN_IMAGES_TO_ADJUST = 3
_EVERY_POSITION_M = 1e6


def adjustment_options(*, hold_rotations: bool, threads: int) -> pycolmap.BundleAdjustmentOptions:
    """Return how poses and points are adjusted."""
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = True
    options.refine_principal_point = True
    options.refine_extra_params = False
    options.refine_sensor_from_rig = False
    options.constant_rig_from_world_rotation = hold_rotations
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = 0.5
    options.ceres.solver_options.max_num_iterations = 30
    options.ceres.solver_options.function_tolerance = 1e-5
    options.ceres.solver_options.num_threads = threads
    return options


def prior_options() -> pycolmap.PosePriorBundleAdjustmentOptions:
    """Return how positions weigh in; the same problem has the same solution every time."""
    options = pycolmap.PosePriorBundleAdjustmentOptions()
    options.alignment_ransac.random_seed = 0
    return options


def drop_bad_points(
    reconstruction: pycolmap.Reconstruction, options: ReconstructionOptions
) -> None:
    """Drop observations with large errors, and points left with few or narrow views."""
    manager = pycolmap.ObservationManager(reconstruction)
    manager.filter_all_points3D(
        options.max_reprojection_error_px, options.min_triangulation_angle_deg
    )
    short = [
        point_id
        for point_id, point in reconstruction.points3D.items()
        if point.track.length() < options.min_track_length
    ]
    for point_id in short:
        manager.delete_point3D(point_id)
