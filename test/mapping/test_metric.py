"""Scale and up are found from odometry that drifts, from depth, and from how cameras are held."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from synthetic_scene import Scene, make_scene, make_stereo

from hloc_localizer.geometry import transforms
from hloc_localizer.mapping import metric
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.tracks import Tracks

SCALE = 3.7


def walk(count: int = 80, seed: int = 1) -> np.ndarray:
    """Return poses of a camera that is carried through a room, z up."""
    random = np.random.default_rng(seed)
    heading = np.cumsum(random.normal(0.0, 0.15, count))
    steps = 0.12 * np.stack([np.cos(heading), np.sin(heading), np.zeros(count)], axis=1)
    centres = np.cumsum(steps, axis=0)
    level = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    yaw = transforms.rotation_from_rotvec(np.stack([0 * heading, 0 * heading, heading], axis=1))
    sway = transforms.rotation_from_rotvec(random.normal(0.0, 0.03, (count, 3)))
    return np.asarray(transforms.transform_from(yaw @ level @ sway, centres))


def in_model(poses: np.ndarray, *, noise_m: float = 0.0) -> np.ndarray:
    """Return the same poses in a frame and a unit of their own."""
    random = np.random.default_rng(2)
    turn = transforms.transform_from(
        transforms.rotation_from_rotvec([0.5, -1.1, 0.3]), [4.0, 5.0, 6.0]
    )
    model = turn @ poses
    model[:, :3, 3] = (model[:, :3, 3] + random.normal(0.0, noise_m, (len(poses), 3))) / SCALE
    return np.asarray(model)


def drifting(poses: np.ndarray, *, yaw_deg: float, slip: float) -> np.ndarray:
    """Return odometry whose heading and length go wrong a little with every step."""
    steps = transforms.invert(poses[:-1]) @ poses[1:]
    steps[:, :3, 3] *= 1.0 + slip * np.random.default_rng(3).normal(size=(len(steps), 1))
    driven = [poses[0]]
    for step in steps:
        turn = transforms.rotation_from_rotvec([0.0, 0.0, np.radians(yaw_deg)])
        next_one = driven[-1] @ step
        driven.append(transforms.transform_from(turn @ next_one[:3, :3], next_one[:3, 3]))
    return np.stack(driven)


def test_scale_of_odometry_is_exact_where_everything_is() -> None:
    poses = walk()
    found = metric.scale_from_odometry(in_model(poses), poses)
    assert found is not None
    assert found.metres_per_unit == pytest.approx(SCALE, rel=1e-9)
    assert found.spread < 1e-9


def test_scale_survives_drift_noise_and_a_lost_stretch() -> None:
    poses = walk(200)
    odometry = drifting(poses, yaw_deg=0.15, slip=0.03)
    assert np.linalg.norm(odometry[-1, :3, 3] - poses[-1, :3, 3]) > 0.5
    odometry[50:60] = np.nan
    odometry[120:, :3, 3] += [0.0, 3.0, 0.0]  # wheels spun
    found = metric.scale_from_odometry(in_model(poses, noise_m=0.01), odometry)
    assert found is not None
    assert found.metres_per_unit == pytest.approx(SCALE, rel=0.01)
    assert found.spread < 0.15


def test_windows_do_not_reach_from_one_recording_into_the_next() -> None:
    poses = walk(40)
    odometry = poses.copy()
    odometry[20:] = transforms.transform_from(np.eye(3), [500.0, 0.0, 0.0]) @ odometry[20:]
    sessions = ['a'] * 20 + ['b'] * 20
    found = metric.scale_from_odometry(in_model(poses), odometry, sessions)
    assert found is not None
    assert found.spread < 1e-9


def test_odometry_of_another_camera_shows_in_its_turns() -> None:
    found = metric.scale_from_odometry(in_model(walk(seed=1)), walk(seed=5))
    assert found is not None
    assert found.turn_spread > 0.5
    own = metric.scale_from_odometry(
        in_model(walk(seed=1)), drifting(walk(seed=1), yaw_deg=0.2, slip=0.05)
    )
    assert own is not None
    assert own.turn_spread < 0.08


def test_odometry_that_stands_still_tells_nothing() -> None:
    poses = walk()
    assert metric.scale_from_odometry(in_model(poses), np.tile(np.eye(4), (80, 1, 1))) is None
    assert metric.scale_from_odometry(in_model(poses), np.full((80, 4, 4), np.nan)) is None


def test_scale_of_depth_survives_wrong_depths() -> None:
    scene = make_scene()
    random = np.random.default_rng(4)
    images: list[MapImage] = []
    for image, pose, points in zip(scene.images, scene.poses, scene.point_of, strict=True):
        depth = transforms.apply(transforms.invert(pose), scene.points[points])[:, 2]
        depth = depth * (1.0 + 0.02 * random.normal(size=len(depth)))
        depth[::5] *= random.uniform(0.3, 3.0, len(depth[::5]))
        depth[::7] = np.nan
        images.append(dataclasses.replace(image, depths=depth.astype(np.float32)))
    model = in_model(scene.poses)
    world = transforms.apply(
        model[0] @ transforms.invert(_unscaled(scene.poses[0])), scene.points / SCALE
    )
    tracks = tracks_of_scene(scene, world)
    found = metric.scale_from_depth(images, np.arange(12), model, tracks)
    assert found is not None
    assert found.metres_per_unit == pytest.approx(SCALE, rel=0.005)
    assert metric.scale_from_depth(scene.images, np.arange(12), model, tracks) is None


def tracks_of_scene(scene: Scene, points: np.ndarray) -> Tracks:
    counts = [len(each) for each in scene.point_of]
    return Tracks(
        points=points,
        image=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        keypoint=np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
        point=np.concatenate(scene.point_of).astype(np.int32),
    )


def test_scale_of_a_stereo_camera_is_that_of_its_baseline() -> None:
    mounting = transforms.transform_from(np.eye(3), [0.12, 0.0, 0.01])
    scene = make_stereo(make_scene(), mounting)
    poses = scene.poses.copy()
    poses[:, :3, 3] /= SCALE
    tracks = tracks_of_scene(scene, scene.points / SCALE)
    rigs = [{0: np.eye(4), 1: mounting}]
    found = metric.scale_from_rig(scene.images, np.arange(24), poses, tracks, rigs)
    assert found is not None
    assert found.metres_per_unit == pytest.approx(SCALE, rel=1e-9)
    assert 0.0 < found.relative_error < 0.01
    every_fourth = np.arange(0, 24, 4)
    assert metric.scale_from_rig(
        scene.images, every_fourth, poses[every_fourth], tracks, rigs
    ) is None  # fmt: skip
    # A model that holds the rig although the images see another baseline says so.
    wrong = metric.scale_from_rig(
        scene.images, np.arange(24), poses, tracks_of_scene(scene, 1.5 * scene.points / SCALE), rigs
    )
    assert wrong is not None
    assert wrong.spread > 0.2


def _unscaled(pose: np.ndarray) -> np.ndarray:
    pose = pose.copy()
    pose[:3, 3] /= SCALE
    return pose


def test_up_is_that_of_the_odometry() -> None:
    poses = walk()
    model = in_model(poses)
    truth = (model[0] @ transforms.invert(poses[0]))[:3, 2]
    odometry = drifting(poses, yaw_deg=0.5, slip=0.05)
    found = metric.up_from_odometry(model, odometry)
    assert found is not None
    assert found.direction @ truth == pytest.approx(1.0, abs=1e-9)
    turned = metric.level_rotation(found.direction)
    assert np.allclose(turned @ truth, [0.0, 0.0, 1.0], atol=1e-9)
    assert metric.up_from_odometry(model, np.full((80, 4, 4), np.nan)) is None


def test_up_is_how_cameras_are_held() -> None:
    poses = walk(200)
    model = in_model(poses)
    truth = (model[0] @ transforms.invert(poses[0]))[:3, 2]
    found = metric.up_from_cameras(model)
    assert found is not None
    assert np.degrees(np.arccos(found.direction @ truth)) < 1.0
    assert found.spread_deg < 3.0


def test_cameras_that_look_one_way_do_not_tell_what_is_up() -> None:
    poses = walk()
    poses[:, :3, :3] = poses[0, :3, :3]
    assert metric.up_from_cameras(in_model(poses)) is None


@pytest.mark.parametrize('up', [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0.6, 0.0, -0.8)])
def test_levelling_turns_up_onto_z(up: tuple[float, float, float]) -> None:
    rotation = metric.level_rotation(np.array(up, np.float64))
    assert np.allclose(rotation @ up, [0.0, 0.0, 1.0], atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
