"""Images without poses find their places, in metres and level where anything tells."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from synthetic_scene import CAMERA, Scene, make_scene

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.alignment import align_points
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.placement import Placement
from hloc_localizer.mapping.unknown_poses import UnknownPoses, placed_images

UNKNOWN = np.full((4, 4), np.nan)
ODOM_FROM_MAP = transforms.transform_from(
    transforms.rotation_from_rotvec([0.0, 0.0, 0.7]), [5.0, -3.0, 0.2]
)


@pytest.fixture(scope='module')
def scene() -> Scene:
    """Return a scene whose z axis is up, seen by 14 cameras that swing from left to right."""
    made = make_scene(images=14, points=200)
    up = transforms.transform_from(
        np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]), np.zeros(3)
    )
    return dataclasses.replace(
        made, poses=np.asarray(up @ made.poses), points=transforms.apply(up, made.points)
    )


def blind(scene: Scene, **known: list[object]) -> list[MapImage]:
    """Return the images without their poses, with something else that is known of each."""
    return [
        dataclasses.replace(
            image,
            map_from_camera=UNKNOWN,
            stamp_ns=index * 200_000_000,
            **{name: values[index] for name, values in known.items()},
        )
        for index, image in enumerate(scene.images)
    ]


def odometry(scene: Scene) -> list[object]:
    return [*(ODOM_FROM_MAP @ scene.poses)]


def depths(scene: Scene) -> list[object]:
    return [
        transforms.apply(transforms.invert(pose), scene.points[points])[:, 2].astype(np.float32)
        for pose, points in zip(scene.poses, scene.point_of, strict=True)
    ]


def near_matches(scene: Scene) -> PairMatches:
    return {pair: found for pair, found in scene.matches().items() if pair[1] - pair[0] <= 4}


def placed(
    images: list[MapImage],
    matches: PairMatches,
    folder: Path,
    *,
    camera: Camera = CAMERA,
    refine: bool = False,
    options: BuildOptions | None = None,
) -> Placement:
    unknown = UnknownPoses(
        images=images,
        cameras=(camera,),
        refine=(refine,),
        rigs=(),
        front_end=create_front_end('sift', {}),
        options=options or BuildOptions(),
        threads=1,
        begin=lambda name, total: lambda steps: None,
    )
    placement, completed = unknown.place(matches, folder)
    assert max(max(pair) for pair in completed) < len(placement.images)
    return placement


def errors(placement: Placement, scene: Scene, *, with_scale: bool) -> tuple[float, float]:
    """Return the median distance from the truth once aligned, and the scale of the alignment."""
    truth = scene.poses[placement.images, :3, 3]
    found = align_points(placement.poses[:, :3, 3], truth, with_scale=with_scale)
    return float(np.median(found.residuals)), found.scale


@pytest.mark.parametrize('mapper', ['global', 'incremental'])
def test_odometry_makes_a_map_metric_and_level(scene: Scene, tmp_path: Path, mapper: str) -> None:
    options = BuildOptions().with_values({'reconstruction.mapper': mapper})
    found = placed(
        blind(scene, odom_from_camera=odometry(scene)),
        near_matches(scene),
        tmp_path,
        options=options,
    )
    assert found.images.tolist() == list(range(14))
    assert found.metric
    assert found.gravity_aligned
    assert found.methods == {
        'poses': f'{mapper} mapper',
        'scale': 'odometry',
        'gravity': 'odometry',
    }
    median, _ = errors(found, scene, with_scale=False)
    _, scale = errors(found, scene, with_scale=True)
    assert median < 0.005
    assert scale == pytest.approx(1.0, abs=0.005)
    up = found.poses[:, :3, :3] @ np.swapaxes(scene.poses[:, :3, :3], 1, 2) @ [0.0, 0.0, 1.0]
    assert np.degrees(np.arccos(up[:, 2].clip(-1.0, 1.0))).max() < 0.3
    # The map is the frame of the odometry at the first image.
    moved, turned = transforms.pose_distance(found.poses[0], ODOM_FROM_MAP @ scene.poses[0])
    assert moved < 1e-6
    assert np.degrees(turned) < 0.3
    assert found.notes == ()


def test_depth_makes_a_map_metric(scene: Scene, tmp_path: Path) -> None:
    found = placed(blind(scene, depths=depths(scene)), near_matches(scene), tmp_path)
    assert found.metric
    assert found.methods['scale'] == 'depth'
    assert errors(found, scene, with_scale=True)[1] == pytest.approx(1.0, abs=0.005)
    assert found.alignment['scale_relative_error'] < 0.005


def test_a_known_distance_makes_a_map_metric(scene: Scene, tmp_path: Path) -> None:
    names = (scene.images[3].name, scene.images[12].name)
    distance = float(np.linalg.norm(scene.poses[3, :3, 3] - scene.poses[12, :3, 3]))
    values = {
        'metric.known_distance_m': distance,
        'metric.distance_between': ', '.join(names),
    }
    options = BuildOptions().with_values(values)
    found = placed(blind(scene), near_matches(scene), tmp_path, options=options)
    assert found.metric
    assert found.methods['scale'] == 'known distance'
    assert errors(found, scene, with_scale=True)[1] == pytest.approx(1.0, abs=0.01)


def test_an_imu_tells_which_way_is_up(scene: Scene, tmp_path: Path) -> None:
    ups: list[object] = [pose[:3, :3].T @ [0.0, 0.0, 1.0] for pose in scene.poses]
    found = placed(blind(scene, up_in_camera=ups), near_matches(scene), tmp_path)
    assert found.gravity_aligned
    assert found.methods['gravity'] == 'imu'
    rotation = align_points(found.poses[:, :3, 3], scene.poses[:, :3, 3], with_scale=True).rotation
    assert np.degrees(np.arccos(rotation[2, 2])) < 0.5


def test_images_alone_give_a_map_that_says_that_it_is_not_metric(
    scene: Scene, tmp_path: Path
) -> None:
    found = placed(blind(scene), near_matches(scene), tmp_path)
    assert not found.metric
    assert found.methods['scale'] == 'none'
    assert any('NOT METRIC' in note for note in found.notes)
    median, scale = errors(found, scene, with_scale=True)
    assert median < 0.005
    # Its unit makes the median depth 3, whatever COLMAP chose.
    assert scale == pytest.approx(5.6 / 3.0, rel=0.15)
    assert np.allclose(found.poses[0, :3, 3], 0.0)


def test_a_focal_length_that_is_only_a_guess_is_found(scene: Scene, tmp_path: Path) -> None:
    guess = Camera('SIMPLE_RADIAL', 640, 480, (640.0, 319.5, 239.5, 0.0))
    images = [
        dataclasses.replace(image, plane=guess.normalise(image.features.keypoints))
        for image in blind(scene)
    ]
    found = placed(images, near_matches(scene), tmp_path, camera=guess, refine=True)
    assert len(found.images) == 14
    assert found.cameras[0].focal_px == pytest.approx(CAMERA.focal_px, rel=0.03)


def test_pieces_are_joined_by_odometry(scene: Scene, tmp_path: Path) -> None:
    apart = {
        pair: found for pair, found in near_matches(scene).items() if (pair[0] < 8) == (pair[1] < 8)
    }
    found = placed(blind(scene, odom_from_camera=odometry(scene)), apart, tmp_path)
    assert len(found.images) == 14
    assert errors(found, scene, with_scale=False)[0] < 0.01
    assert 'separate pieces (8 + 6 images); odometry joins them' in found.notes[0]
    alone = placed(blind(scene), apart, tmp_path)
    assert alone.images.tolist() == list(range(8))
    assert any('6 of 14 images found no place: 1.6 s to 2.6 s (6)' in note for note in alone.notes)


def test_odometry_of_something_else_is_not_used(scene: Scene, tmp_path: Path) -> None:
    other = [*reversed(odometry(scene))]
    found = placed(blind(scene, odom_from_camera=other), near_matches(scene), tmp_path)
    assert not found.metric
    assert any('odometry and images disagree' in note for note in found.notes)
    options = BuildOptions().with_values({'metric.scale': 'odometry'})
    with pytest.raises(HlocLocalizerError, match='cannot be found from odometry: odometry and'):
        placed(blind(scene, odom_from_camera=other), near_matches(scene), tmp_path, options=options)


def test_a_camera_that_only_turns_gives_no_map(scene: Scene, tmp_path: Path) -> None:
    poses = scene.poses.copy()
    poses[:, :3, 3] = poses[0, :3, 3]
    images = blind(scene)
    for index, (pose, points) in enumerate(zip(poses, scene.point_of, strict=True)):
        pixels = CAMERA.project(
            transforms.apply(transforms.invert(pose), scene.points[points])
        ) + np.random.default_rng(index).normal(0.0, 0.3, (len(points), 2))
        features = dataclasses.replace(images[index].features, keypoints=pixels.astype(np.float32))
        images[index] = dataclasses.replace(
            images[index], features=features, plane=CAMERA.normalise(pixels)
        )
    with pytest.raises(HlocLocalizerError, match='the camera only turned or stood still'):
        placed(images, near_matches(scene), tmp_path)


def test_images_that_share_nothing_give_no_map(scene: Scene, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    chance = {
        pair: np.stack([random.permutation(60), random.permutation(60)], axis=1).astype(np.int32)
        for pair in near_matches(scene)
    }
    with pytest.raises(HlocLocalizerError, match=r'no two images show the same things|do not join'):
        placed(blind(scene), chance, tmp_path)


def test_placed_images_have_the_poses_that_were_found(scene: Scene, tmp_path: Path) -> None:
    images = blind(scene)
    found = placed(images, near_matches(scene), tmp_path)
    ready = placed_images(images, found)
    assert [image.name for image in ready] == [image.name for image in scene.images]
    assert np.array_equal(np.stack([image.map_from_camera for image in ready]), found.poses)
