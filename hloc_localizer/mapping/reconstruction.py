"""From verified matches to refined poses and points, with pycolmap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage, PairMatches, verify_matches
from hloc_localizer.mapping.options import ReconstructionOptions

Poses = list[NDArray[np.float64]]


def reconstruct(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    matches: PairMatches,
    options: ReconstructionOptions,
    *,
    workspace: Path,
    threads: int,
) -> pycolmap.Reconstruction:
    """
    Triangulate from the recorded poses, refine, and triangulate again from the refined ones.

    The first pass must let in what poses a few centimetres off make of a match; the second sees
    sharply.

    :param workspace: an existing folder for scratch files.
    """
    recorded = [image.map_from_camera for image in images]
    poses: Poses = recorded
    bounds = [options.max_epipolar_error_px]
    if options.refine_poses:
        bounds.append(options.refined_epipolar_error_px)
    for bound in bounds:
        verified = verify_matches(images, poses, cameras, matches, max_error_px=bound)
        reconstruction = triangulate(images, cameras, poses, verified, options, workspace)
        if options.refine_poses and reconstruction.num_points3D() > 0:
            refine_with_pose_priors(reconstruction, recorded, options, threads=threads)
            poses = poses_of(reconstruction)
        drop_bad_points(reconstruction, options)
    return reconstruction


def posed_reconstruction(
    images: Sequence[MapImage], cameras: Sequence[Camera], poses: Sequence[NDArray[np.float64]]
) -> pycolmap.Reconstruction:
    """Make a reconstruction of posed images without points. Image ``i`` has the id ``i + 1``."""
    reconstruction = pycolmap.Reconstruction()
    for index, camera in enumerate(cameras):
        reconstruction.add_camera_with_trivial_rig(colmap_camera(camera, index + 1))
    for index, (image, pose) in enumerate(zip(images, poses, strict=True)):
        colmap_image = pycolmap.Image(
            name=image.name,
            camera_id=image.camera + 1,
            image_id=index + 1,
            keypoints=_colmap_keypoints(image),
        )
        reconstruction.add_image_with_trivial_frame(colmap_image, rigid3d(transforms.invert(pose)))
    return reconstruction


def colmap_camera(camera: Camera, camera_id: int) -> pycolmap.Camera:
    """Translate a camera, adding COLMAP's half pixel."""
    return pycolmap.Camera(
        camera_id=camera_id,
        model=camera.model,
        width=camera.width,
        height=camera.height,
        params=camera.colmap_params(),
    )


def rigid3d(transform: NDArray[np.float64]) -> pycolmap.Rigid3d:
    """Translate a transform (4, 4)."""
    return pycolmap.Rigid3d(transform[:3])


def poses_of(reconstruction: pycolmap.Reconstruction) -> Poses:
    """Return ``map_from_camera`` of the images 1 to I of a reconstruction."""
    return [
        transforms.invert(
            np.vstack([reconstruction.images[index].cam_from_world().matrix(), [0, 0, 0, 1]])
        )
        for index in sorted(reconstruction.images)
    ]


def triangulate(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    poses: Sequence[NDArray[np.float64]],
    matches: PairMatches,
    options: ReconstructionOptions,
    workspace: Path,
) -> pycolmap.Reconstruction:
    """
    Triangulate the tracks of verified matches from fixed poses.

    :param workspace: an existing folder for COLMAP's database.
    """
    database_path = workspace / 'database.db'
    database_path.unlink(missing_ok=True)
    _write_database(database_path, images, cameras, matches)
    pipeline = pycolmap.IncrementalPipelineOptions()
    pipeline.triangulation.min_angle = options.min_triangulation_angle_deg
    pipeline.triangulation.ignore_two_view_tracks = options.min_track_length > 2
    pipeline.triangulation.complete_max_reproj_error = options.max_reprojection_error_px
    pipeline.triangulation.merge_max_reproj_error = options.max_reprojection_error_px
    pipeline.mapper.filter_max_reproj_error = options.max_reprojection_error_px
    pipeline.mapper.filter_min_tri_angle = options.min_triangulation_angle_deg
    pipeline.ba_global_max_num_iterations = 1
    pipeline.ba_global_max_refinements = 1
    reconstruction = pycolmap.triangulate_points(
        posed_reconstruction(images, cameras, poses),
        database_path,
        workspace,
        workspace,
        options=pipeline,
    )
    database_path.unlink()
    return reconstruction


def _write_database(
    path: Path, images: Sequence[MapImage], cameras: Sequence[Camera], matches: PairMatches
) -> None:
    database = pycolmap.Database.open(path)
    with pycolmap.DatabaseTransaction(database):
        for index, camera in enumerate(cameras):
            database.write_camera(colmap_camera(camera, index + 1), use_camera_id=True)
            rig = pycolmap.Rig(rig_id=index + 1)
            rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, index + 1))
            database.write_rig(rig, use_rig_id=True)
        for index, image in enumerate(images):
            colmap_image = pycolmap.Image(
                name=image.name, camera_id=image.camera + 1, image_id=index + 1
            )
            database.write_image(colmap_image, use_image_id=True)
            frame = pycolmap.Frame(frame_id=index + 1, rig_id=image.camera + 1)
            frame.add_data_id(colmap_image.data_id)
            database.write_frame(frame, use_frame_id=True)
            database.write_keypoints(index + 1, _colmap_keypoints(image).astype(np.float32))
        for (first, second), indices in matches.items():
            geometry = pycolmap.TwoViewGeometry()
            # Without a configuration the mapper ignores the pair and says nothing.
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = indices.astype(np.uint32)
            database.write_two_view_geometry(first + 1, second + 1, geometry)
    database.close()


def _colmap_keypoints(image: MapImage) -> NDArray[np.float64]:
    return image.features.keypoints.astype(np.float64) + 0.5


def refine_with_pose_priors(
    reconstruction: pycolmap.Reconstruction,
    recorded: Sequence[NDArray[np.float64]],
    options: ReconstructionOptions,
    *,
    threads: int,
    max_iterations: int = 25,
) -> None:
    """
    Adjust poses and points together, the recorded positions weighing in as priors.

    An image with too few points to hold its rotation keeps its recorded pose.

    :param recorded: I poses (4, 4) as recorded.
    """
    config = pycolmap.BundleAdjustmentConfig()
    priors = []
    for image_id, image in reconstruction.images.items():
        config.add_image(image_id)
        if image.num_points3D < _MIN_POINTS_TO_MOVE:
            config.set_constant_rig_from_world_pose(image.frame_id)
            continue
        priors.append(
            pycolmap.PosePrior(
                pose_prior_id=image_id,
                corr_data_id=image.data_id,
                position=recorded[image_id - 1][:3, 3],
                position_covariance=np.eye(3) * options.prior_position_sigma_m**2,
                coordinate_system=pycolmap.PosePriorCoordinateSystem.CARTESIAN,
            )
        )
    for camera_id in reconstruction.cameras:
        config.set_constant_cam_intrinsics(camera_id)
    adjustment = pycolmap.BundleAdjustmentOptions()
    adjustment.refine_focal_length = False
    adjustment.refine_extra_params = False
    adjustment.print_summary = False
    adjustment.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    adjustment.ceres.solver_options.max_num_iterations = max_iterations
    adjustment.ceres.solver_options.function_tolerance = 1e-5
    adjustment.ceres.solver_options.num_threads = threads
    adjuster = pycolmap.create_pose_prior_bundle_adjuster(
        adjustment,
        pycolmap.PosePriorBundleAdjustmentOptions(),
        config,
        priors,
        reconstruction,
    )
    adjuster.solve()


_MIN_POINTS_TO_MOVE = 20


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
