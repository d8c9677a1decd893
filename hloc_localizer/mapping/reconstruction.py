"""From verified matches to refined poses and points, with pycolmap."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage, PairMatches, verify_matches
from hloc_localizer.mapping.options import ReconstructionOptions
from hloc_localizer.mapping.rigs import CameraRig, moments_of, rig_of_camera, rig_pose

Poses = list[NDArray[np.float64]]


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


def cameras_of(reconstruction: pycolmap.Reconstruction) -> list[Camera]:
    """Return the cameras in the order of their ids, without COLMAP's half pixel."""
    return [
        Camera.from_colmap(camera.model.name, camera.width, camera.height, camera.params)
        for _, camera in sorted(reconstruction.cameras.items())
    ]


def posed_reconstruction(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    poses: Sequence[NDArray[np.float64]],
    rigs: Sequence[CameraRig] = (),
) -> pycolmap.Reconstruction:
    """Make a reconstruction of posed images without points. Image ``i`` has the id ``i + 1``."""
    reconstruction = pycolmap.Reconstruction()
    for index, camera in enumerate(cameras):
        reconstruction.add_camera(colmap_camera(camera, index + 1))
    for rig in _colmap_rigs(len(cameras), rigs):
        reconstruction.add_rig(rig)
    made = [
        pycolmap.Image(
            name=image.name,
            camera_id=image.camera + 1,
            image_id=index + 1,
            keypoints=_colmap_keypoints(image),
        )
        for index, image in enumerate(images)
    ]
    for number, members in enumerate(moments_of(images, rigs)):
        frame = _colmap_frame(number, [made[index] for index in members], rigs)
        rig_of_it = rig_of_camera(images[members[0]].camera, rigs)
        frame.rig_from_world = rigid3d(
            transforms.invert(rig_pose(images, members, poses, rig_of_it))
        )
        reconstruction.add_frame(frame)
        for index in members:
            made[index].frame_id = frame.frame_id
            reconstruction.add_image(made[index])
        reconstruction.register_frame(frame.frame_id)
    return reconstruction


def _colmap_rigs(cameras: int, rigs: Sequence[CameraRig]) -> list[pycolmap.Rig]:
    """Return a rig for the cameras of each rig, and for each other one; named by the first."""
    made = []
    for camera in range(cameras):
        mounted = rig_of_camera(camera, rigs)
        reference, *others = mounted
        if camera != reference:
            continue
        rig = pycolmap.Rig(rig_id=camera + 1)
        rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera + 1))
        for other in others:
            camera_from_rig = transforms.invert(mounted[other]) @ mounted[reference]
            sensor = pycolmap.sensor_t(pycolmap.SensorType.CAMERA, other + 1)
            rig.add_sensor(sensor, rigid3d(camera_from_rig))
        made.append(rig)
    return made


def _colmap_frame(
    number: int, images: Sequence[pycolmap.Image], rigs: Sequence[CameraRig]
) -> pycolmap.Frame:
    reference = next(iter(rig_of_camera(images[0].camera_id - 1, rigs)))
    frame = pycolmap.Frame(frame_id=number + 1, rig_id=reference + 1)
    for image in images:
        frame.add_data_id(image.data_id)
    return frame


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


def write_database(
    path: Path,
    images: Sequence[MapImage],
    cameras: Sequence[pycolmap.Camera],
    geometries: Mapping[tuple[int, int], pycolmap.TwoViewGeometry],
    rigs: Sequence[CameraRig] = (),
) -> None:
    """
    Write a database for COLMAP's mappers. Image ``i`` gets the id ``i + 1``.

    :param cameras: camera ``c`` has the id ``c + 1``.
    :param geometries: of pairs of image indices.
    """
    database = pycolmap.Database.open(path)
    with pycolmap.DatabaseTransaction(database):
        for camera in cameras:
            database.write_camera(camera, use_camera_id=True)
        for rig in _colmap_rigs(len(cameras), rigs):
            database.write_rig(rig, use_rig_id=True)
        made = []
        for index, image in enumerate(images):
            made.append(
                pycolmap.Image(name=image.name, camera_id=image.camera + 1, image_id=index + 1)
            )
            database.write_image(made[-1], use_image_id=True)
            database.write_keypoints(index + 1, _colmap_keypoints(image).astype(np.float32))
        for number, members in enumerate(moments_of(images, rigs)):
            frame = _colmap_frame(number, [made[index] for index in members], rigs)
            database.write_frame(frame, use_frame_id=True)
        for (first, second), geometry in geometries.items():
            database.write_two_view_geometry(first + 1, second + 1, geometry)
    database.close()


def _colmap_keypoints(image: MapImage) -> NDArray[np.float64]:
    return image.features.keypoints.astype(np.float64) + 0.5


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
