"""Cameras that are mounted together are placed as one, and their baseline is the scale."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from synthetic_scene import CAMERA, Scene, make_scene, make_stereo

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.alignment import align_points
from hloc_localizer.mapping.colmap_scene import poses_of
from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.options import BuildOptions, ReconstructionOptions
from hloc_localizer.mapping.placement import Placement
from hloc_localizer.mapping.reconstruction import reconstruct
from hloc_localizer.mapping.rigs import (
    CameraRig,
    fitting_rigs,
    held_rigs,
    moments_of,
    pairs_of_moments,
    rig_pose,
)
from hloc_localizer.mapping.unknown_poses import UnknownPoses

UNKNOWN = np.full((4, 4), np.nan)
LEFT_FROM_RIGHT = transforms.transform_from(
    transforms.rotation_from_rotvec([0.01, -0.02, 0.005]), [0.12, 0.01, 0.0]
)
RIG: CameraRig = {0: np.eye(4), 1: LEFT_FROM_RIGHT}
CAMERAS = (CAMERA, CAMERA)


@pytest.fixture(scope='module')
def scene() -> Scene:
    """Return twelve moments of two cameras, the second half a millisecond later."""
    return make_stereo(make_scene(points=200), LEFT_FROM_RIGHT, apart_ns=500_000)


def near_matches(scene: Scene) -> PairMatches:
    return {
        (first, second): found
        for (first, second), found in scene.matches().items()
        if second // 2 - first // 2 <= 3
    }


def blind(images: list[MapImage]) -> list[MapImage]:
    return [dataclasses.replace(image, map_from_camera=UNKNOWN) for image in images]


def placed(
    images: list[MapImage],
    matches: PairMatches,
    folder: Path,
    rig: CameraRig = RIG,
    **values: object,
) -> Placement:
    unknown = UnknownPoses(
        images=images,
        cameras=CAMERAS,
        refine=(False, False),
        rigs=(rig,),
        front_end=create_front_end('sift', {}),
        options=BuildOptions().with_values(values),
        threads=1,
        begin=lambda name, total: lambda steps: None,
    )
    return unknown.place(matches, folder)[0]


def baselines(poses: np.ndarray) -> np.ndarray:
    """Return the mounting (N, 4, 4) that poses of alternating cameras show."""
    return np.asarray(transforms.invert(poses[::2]) @ poses[1::2])


@pytest.mark.parametrize('mapper', ['global', 'incremental'])
def test_a_stereo_camera_makes_a_map_metric(scene: Scene, tmp_path: Path, mapper: str) -> None:
    found = placed(
        blind(scene.images), near_matches(scene), tmp_path, **{'reconstruction.mapper': mapper}
    )
    assert found.images.tolist() == list(range(24))
    assert found.metric
    assert found.methods['scale'] == 'rig'
    assert found.alignment['scale_relative_error'] < 0.01
    # Each moment has one pose: the mounting is held to the last digit.
    shown = baselines(found.poses)
    moved, turned = transforms.pose_distance(shown, np.broadcast_to(LEFT_FROM_RIGHT, shown.shape))
    assert moved.max() < 1e-9
    assert turned.max() < 1e-7
    truth = align_points(found.poses[:, :3, 3], scene.poses[:, :3, 3], with_scale=True)
    assert truth.scale == pytest.approx(1.0, abs=0.005)
    assert float(np.median(truth.residuals)) < 0.004


def test_a_view_that_matches_nothing_comes_with_the_other_camera(
    scene: Scene, tmp_path: Path
) -> None:
    alone = {pair: found for pair, found in near_matches(scene).items() if 11 not in pair}
    found = placed(blind(scene.images), alone, tmp_path)
    assert 11 in found.images
    distance, _ = transforms.pose_distance(baselines(found.poses)[5], LEFT_FROM_RIGHT)
    assert distance < 1e-9


@pytest.mark.parametrize(
    'wrong',
    [
        transforms.invert(LEFT_FROM_RIGHT),
        LEFT_FROM_RIGHT @ transforms.transform_from(
            transforms.rotation_from_rotvec([0.0, 0.0, 0.1]), [0.0, 0.0, 0.0]
        ),
    ],
    ids=['left for right', 'turned'],
)  # fmt: skip
def test_a_mounting_that_the_images_contradict_is_not_used(
    scene: Scene, tmp_path: Path, wrong: np.ndarray
) -> None:
    rig = {0: np.eye(4), 1: wrong}
    found = placed(blind(scene.images), near_matches(scene), tmp_path, rig)
    assert not found.metric
    assert len(found.images) == 24
    assert found.notes[0].startswith('the mounting of 2 cameras by /tf_static explains only')
    with pytest.raises(HlocLocalizerError, match='cannot be found from the mounting'):
        placed(blind(scene.images), near_matches(scene), tmp_path, rig, **{'metric.scale': 'rig'})


def test_cameras_that_are_not_triggered_together_hold_nothing(tmp_path: Path) -> None:
    apart = make_stereo(make_scene(points=200), LEFT_FROM_RIGHT, apart_ns=20_000_000)
    assert moments_of(apart.images, [RIG]) == [[index] for index in range(24)]
    rigs, notes = fitting_rigs(apart.images, CAMERAS, near_matches(apart), [RIG])
    assert rigs == []
    assert notes == [
        'the mounting of 2 cameras is known but not used: no two of their images are of one '
        'moment (stamps within 2 ms); trigger the cameras together'
    ]


def test_odometry_that_contradicts_the_baseline_is_told(scene: Scene, tmp_path: Path) -> None:
    larger = scene.poses.copy()
    larger[:, :3, 3] *= 1.2
    images = [
        dataclasses.replace(image, odom_from_camera=pose)
        for image, pose in zip(blind(scene.images), larger, strict=True)
    ]
    found = placed(images, near_matches(scene), tmp_path)
    assert found.alignment['odometry_scale_over_rig'] == pytest.approx(1.2, abs=0.01)
    assert any('1.20 times as large as by the mounting' in note for note in found.notes)
    chosen = placed(images, near_matches(scene), tmp_path, **{'metric.scale': 'rig'})
    assert chosen.methods['scale'] == 'rig'
    truth = align_points(chosen.poses[:, :3, 3], scene.poses[:, :3, 3], with_scale=True)
    assert truth.scale == pytest.approx(1.0, abs=0.005)


def test_odometry_and_a_rig_go_together(scene: Scene, tmp_path: Path) -> None:
    images = [
        dataclasses.replace(image, odom_from_camera=pose)
        for image, pose in zip(blind(scene.images), scene.poses, strict=True)
    ]
    found = placed(images, near_matches(scene), tmp_path)
    assert found.methods['scale'] == 'odometry'
    assert found.alignment['odometry_scale_over_rig'] == pytest.approx(1.0, abs=0.005)
    assert found.notes == ()
    assert held_rigs(images, list(found.poses), [RIG]) == [RIG]
    truth = align_points(found.poses[:, :3, 3], scene.poses[:, :3, 3])
    assert float(np.median(truth.residuals)) < 0.005


def test_refining_holds_the_rig(scene: Scene, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    disturbed = [pose.copy() for pose in scene.poses]
    for left, right in zip(disturbed[::2], disturbed[1::2], strict=True):
        left[:3, 3] += random.normal(0.0, 0.004, 3)
        right[:] = left @ LEFT_FROM_RIGHT
    recorded = scene.recorded(np.stack(disturbed))
    model, _ = reconstruct(
        recorded.images,
        CAMERAS,
        scene.matches(),
        ReconstructionOptions(),
        workspace=tmp_path,
        threads=1,
        rigs=[RIG],
    )
    assert model.num_frames() == 12
    assert model.num_rigs() == 1
    refined = np.stack(poses_of(model))
    moved, turned = transforms.pose_distance(baselines(refined), baselines(scene.poses))
    assert moved.max() < 1e-5
    assert np.degrees(turned).max() < 1e-4
    before, after = (
        float(np.median(np.linalg.norm(each[:, :3, 3] - scene.poses[:, :3, 3], axis=1)))
        for each in (np.stack(disturbed), refined)
    )
    assert after < 0.7 * before


def test_poses_that_contradict_the_mounting_are_not_held_by_it(scene: Scene) -> None:
    poses = list(scene.poses)
    assert held_rigs(scene.images, poses, [RIG]) == [RIG]
    longer = LEFT_FROM_RIGHT.copy()
    longer[0, 3] += 0.02
    assert held_rigs(scene.images, poses, [{0: np.eye(4), 1: longer}]) == []
    assert held_rigs(scene.images[::2], poses[::2], [RIG]) == []


def test_moments_are_of_one_rig_and_one_recording(scene: Scene) -> None:
    images = scene.images[:4]
    assert moments_of(images, [RIG]) == [[0, 1], [2, 3]]
    assert moments_of(images, []) == [[0], [1], [2], [3]]
    other = [dataclasses.replace(images[1], session='other'), images[0]]
    assert moments_of(other, [RIG]) == [[0], [1]]
    # The order within a moment is that of the rig.
    assert moments_of([images[1], images[0]], [RIG]) == [[1, 0]]


def test_pairs_of_a_moment_are_those_that_see_the_same(scene: Scene) -> None:
    assert pairs_of_moments(scene.images[:4], CAMERAS, [RIG]) == {(0, 1), (2, 3)}
    behind = transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, np.pi, 0.0]), [0.0, 0.0, -0.3]
    )
    assert pairs_of_moments(scene.images[:4], CAMERAS, [{0: np.eye(4), 1: behind}]) == set()


def test_the_pose_of_a_rig_is_the_mean_of_its_cameras(scene: Scene) -> None:
    right = scene.poses[1].copy()
    right[:3, 3] += [0.0, 0.02, 0.0]
    pose = rig_pose(scene.images, [0, 1], [scene.poses[0], right], RIG)
    assert np.allclose(pose[:3, 3], scene.poses[0][:3, 3] + [0.0, 0.01, 0.0])
    assert np.allclose(pose[:3, :3], scene.poses[0][:3, :3])
