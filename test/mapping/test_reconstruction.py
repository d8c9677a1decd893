"""Triangulation and adjustment recover a known scene from recordings that are a little off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from synthetic_scene import CAMERA, Scene, make_scene

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.colmap_scene import (
    cameras_of,
    colmap_camera,
    posed_reconstruction,
    poses_of,
    rigid3d,
)
from hloc_localizer.mapping.options import ReconstructionOptions
from hloc_localizer.mapping.reconstruction import drop_bad_points, reconstruct, triangulate
from hloc_localizer.mapping.tracks import tracks_of

OPTIONS = ReconstructionOptions(prior_position_sigma_m=0.01)
pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value


@pytest.fixture(scope='module')
def scene() -> Scene:
    return make_scene()


def disturbed(poses: np.ndarray, position_m: float, rotation_deg: float) -> np.ndarray:
    random = np.random.default_rng(4)
    turns = transforms.rotation_from_rotvec(
        np.radians(random.normal(0.0, rotation_deg, (len(poses), 3)))
    )
    moved = poses[:, :3, 3] + random.normal(0.0, position_m, (len(poses), 3))
    return transforms.transform_from(turns @ poses[:, :3, :3], moved)


def with_focal(factor: float) -> Camera:
    fx, fy, *rest = CAMERA.params
    return Camera(CAMERA.model, *CAMERA.image_size, (fx * factor, fy * factor, *rest))


def run(
    scene: Scene, camera: Camera, options: ReconstructionOptions, workspace: Path
) -> tuple[pycolmap.Reconstruction, Camera]:
    reconstruction, cameras = reconstruct(
        scene.images, [camera], scene.matches(), options, workspace=workspace, threads=1
    )
    assert len(cameras) == 1
    return reconstruction, cameras[0]


def point_errors(scene: Scene, reconstruction: pycolmap.Reconstruction) -> np.ndarray:
    """Return the distance of each reconstructed point from the truth."""
    tracks = tracks_of(reconstruction)
    first = np.unique(tracks.point, return_index=True)[1]
    truth = [scene.point_of[tracks.image[one]][tracks.keypoint[one]] for one in first]
    for one, image in enumerate(tracks.image):  # no track mixes two points
        assert scene.point_of[image][tracks.keypoint[one]] == truth[tracks.point[one]]
    return np.linalg.norm(tracks.points - scene.points[truth], axis=1)


def test_triangulation_from_true_poses_finds_the_points(scene: Scene, tmp_path: Path) -> None:
    reconstruction = triangulate(
        scene.images, [CAMERA], list(scene.poses), scene.matches(), OPTIONS, tmp_path
    )
    errors = point_errors(scene, reconstruction)
    assert len(errors) > 0.95 * len(np.unique(np.concatenate(scene.point_of)))
    assert np.median(errors) < 0.01
    np.testing.assert_allclose(poses_of(reconstruction), scene.poses, atol=1e-9)
    assert reconstruction.compute_mean_reprojection_error() < 0.6
    assert not (tmp_path / 'database.db').exists()


def test_wrong_positions_and_focal_length_are_put_right(scene: Scene, tmp_path: Path) -> None:
    wrong = with_focal(1.003)
    recorded = scene.recorded(disturbed(scene.poses, 0.01, 0.0), wrong)
    reconstruction, refined = run(recorded, wrong, OPTIONS, tmp_path)
    poses = np.stack(poses_of(reconstruction))
    before = transforms.pose_distance(np.stack([i.map_from_camera for i in recorded.images]),
                                      scene.poses)[0]  # fmt: skip
    after, turned = transforms.pose_distance(poses, scene.poses)
    assert np.median(before) > 0.012
    assert np.median(after) < 0.5 * np.median(before)
    assert np.degrees(turned).max() < 0.2
    errors = point_errors(scene, reconstruction)
    assert len(errors) > 0.9 * len(np.unique(np.concatenate(scene.point_of)))
    assert np.median(errors) < 0.015
    assert reconstruction.compute_mean_reprojection_error() < 0.6
    assert abs(refined.focal_px / CAMERA.focal_px - 1.0) < 0.0015
    assert refined.params[4:] == pytest.approx(CAMERA.params[4:])  # the distortion stays


def test_calibration_stays_where_it_may_not_change_or_images_are_few(
    scene: Scene, tmp_path: Path
) -> None:
    fixed = ReconstructionOptions(refine_intrinsics=False)
    assert run(scene, CAMERA, fixed, tmp_path)[1].is_close_to(CAMERA)
    few = make_scene(images=6)
    assert run(few, CAMERA, OPTIONS, tmp_path)[1].is_close_to(CAMERA)


def test_recorded_poses_stay_where_they_may_not_change(scene: Scene, tmp_path: Path) -> None:
    recorded = scene.recorded(disturbed(scene.poses, 0.005, 0.0))
    options = ReconstructionOptions(refine_poses=False)
    reconstruction, camera = run(recorded, CAMERA, options, tmp_path)
    np.testing.assert_allclose(
        poses_of(reconstruction), [image.map_from_camera for image in recorded.images], atol=1e-9
    )
    assert camera.is_close_to(CAMERA)
    assert reconstruction.num_points3D() > 100


@pytest.mark.parametrize(('rotation_deg', 'held'), [(0.0, True), (0.3, False)])
def test_good_rotations_are_held_and_bad_ones_refined(
    scene: Scene, tmp_path: Path, rotation_deg: float, held: bool
) -> None:
    recorded = scene.recorded(disturbed(scene.poses, 0.005, rotation_deg))
    reconstruction, _ = run(recorded, CAMERA, OPTIONS, tmp_path)
    poses = np.stack(poses_of(reconstruction))
    given = np.stack([image.map_from_camera for image in recorded.images])
    changed = np.degrees(transforms.pose_distance(poses, given)[1])
    assert (changed.max() < 1e-3) == held, changed
    # Either way the images agree with each other in the end.
    assert reconstruction.compute_mean_reprojection_error() < 0.8
    if not held:
        # An image whose recorded pose is too far off to be matched has no points, and stays.
        seeing = [reconstruction.images[index + 1].num_points3D > 100 for index in range(12)]
        off = np.degrees(transforms.pose_distance(poses, scene.poses)[1])
        given_off = np.degrees(transforms.pose_distance(given, scene.poses)[1])
        assert sum(seeing) >= 9
        assert off[seeing].max() < 0.2
        assert given_off[seeing].mean() > 0.4


def test_rotations_are_held_or_refined_as_told(scene: Scene, tmp_path: Path) -> None:
    recorded = scene.recorded(disturbed(scene.poses, 0.005, 0.2))
    given = np.stack([image.map_from_camera for image in recorded.images])
    turned = {}
    for rotations in ('held', 'refined'):
        options = ReconstructionOptions(prior_position_sigma_m=0.01, rotations=rotations)
        reconstruction, _ = run(recorded, CAMERA, options, tmp_path)
        turned[rotations] = transforms.pose_distance(np.stack(poses_of(reconstruction)), given)[1]
    assert np.degrees(turned['held']).max() < 1e-3
    assert np.degrees(turned['refined']).max() > 0.1


def test_refining_does_not_turn_or_shift_the_map(scene: Scene, tmp_path: Path) -> None:
    # Positions along a nearly straight path say little about the turn about it.
    recorded = scene.recorded(disturbed(scene.poses, 0.01, 0.1))
    options = ReconstructionOptions(prior_position_sigma_m=0.01, rotations='refined')
    reconstruction, _ = run(recorded, CAMERA, options, tmp_path)
    poses = np.stack(poses_of(reconstruction))
    turns = poses[:, :3, :3] @ np.swapaxes(scene.poses[:, :3, :3], 1, 2)
    mean_turn = transforms.rotvec_from_rotation(turns).mean(axis=0)
    assert np.degrees(np.linalg.norm(mean_turn)) < 0.15
    shift = (poses[:, :3, 3] - scene.poses[:, :3, 3]).mean(axis=0)
    assert np.linalg.norm(shift) < 0.01


def test_image_that_sees_nothing_keeps_its_recorded_pose(scene: Scene, tmp_path: Path) -> None:
    matches = {pair: found for pair, found in scene.matches().items() if 5 not in pair}
    recorded = scene.recorded(disturbed(scene.poses, 0.01, 0.0))
    reconstruction, _ = reconstruct(
        recorded.images, [CAMERA], matches, OPTIONS, workspace=tmp_path, threads=1
    )
    poses = np.stack(poses_of(reconstruction))
    assert len(poses) == 12
    given = recorded.images[5].map_from_camera
    assert transforms.pose_distance(poses[5], given)[0] < 0.02
    assert reconstruction.images[6].num_points3D == 0


def test_no_matches_make_no_points_and_no_error(scene: Scene, tmp_path: Path) -> None:
    reconstruction, _ = reconstruct(
        scene.images, [CAMERA], {}, OPTIONS, workspace=tmp_path, threads=1
    )
    assert reconstruction.num_points3D() == 0
    np.testing.assert_allclose(poses_of(reconstruction), scene.poses, atol=1e-9)


def test_bad_observations_and_short_tracks_are_dropped(scene: Scene, tmp_path: Path) -> None:
    reconstruction = triangulate(
        scene.images, [CAMERA], list(scene.poses), scene.matches(), OPTIONS, tmp_path
    )
    point_id = max(reconstruction.points3D)
    before = reconstruction.num_points3D()
    reconstruction.points3D[point_id].xyz = reconstruction.points3D[point_id].xyz + 0.4
    drop_bad_points(reconstruction, OPTIONS)
    assert point_id not in reconstruction.points3D
    assert reconstruction.num_points3D() == before - 1
    drop_bad_points(reconstruction, ReconstructionOptions(min_track_length=12))
    lengths = [point.track.length() for point in reconstruction.points3D.values()]
    assert 0 < len(lengths) < before
    assert min(lengths) == 12


def test_cameras_and_poses_come_back_from_colmap_unchanged(scene: Scene) -> None:
    reconstruction = posed_reconstruction(scene.images, [CAMERA], list(scene.poses))
    (camera,) = cameras_of(reconstruction)
    assert camera.is_close_to(CAMERA)
    np.testing.assert_allclose(poses_of(reconstruction), scene.poses, atol=1e-12)
    in_camera = np.array([0.4, -0.3, 2.0])
    by_colmap = colmap_camera(CAMERA, 1).img_from_cam(in_camera)
    np.testing.assert_allclose(by_colmap - 0.5, CAMERA.project(in_camera[None])[0], atol=1e-9)
    assert rigid3d(np.eye(4)).matrix().tolist() == np.eye(4)[:3].tolist()
