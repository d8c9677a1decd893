"""New images around held ones: the held do not move, the new find their place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from synthetic_scene import CAMERA, Scene, make_scene

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.carried_knowledge import Knowledge
from hloc_localizer.mapping.colmap_scene import cameras_of, poses_of
from hloc_localizer.mapping.extended_reconstruction import Extension, reconstruct_around
from hloc_localizer.mapping.known_tracks import matches_of_tracks
from hloc_localizer.mapping.matching import PairMatches
from hloc_localizer.mapping.options import ReconstructionOptions
from hloc_localizer.mapping.tracks import Tracks, tracks_of

OLD = 8


def extension(scene: Scene, camera: Camera = CAMERA, **changes: object) -> Extension:
    """Return the last images as new ones, with a camera of their own."""
    matches = scene.matches()
    known = {pair: found for pair, found in matches.items() if max(pair) < OLD}
    images = [
        dataclasses.replace(image, camera=int(index >= OLD))
        for index, image in enumerate(scene.images)
    ]
    made = Extension(
        images=images,
        cameras=[CAMERA, camera],
        is_new=np.arange(len(images)) >= OLD,
        known=known,
        found={pair: found for pair, found in matches.items() if pair not in known},
        new_cameras=frozenset({1}),
        prior_sigma_m=np.full(len(images), 0.03),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def off(scene: Scene) -> Scene:
    """Return the scene with the new images 3 cm and 0.4 degrees off."""
    random = np.random.default_rng(5)
    turns = random.normal(size=(len(scene.poses), 3))
    turns *= np.radians(0.4) / np.linalg.norm(turns, axis=1, keepdims=True)
    shifts = random.normal(size=(len(scene.poses), 3))
    shifts *= 0.03 / np.linalg.norm(shifts, axis=1, keepdims=True)
    poses = scene.poses @ transforms.transform_from(transforms.rotation_from_rotvec(turns), shifts)
    poses[:OLD] = scene.poses[:OLD]
    return scene.recorded(poses)


def test_new_images_find_their_place_and_old_ones_stay(tmp_path: Path) -> None:
    scene = off(make_scene())
    made, kept = reconstruct_around(
        extension(scene), ReconstructionOptions(), workspace=tmp_path, threads=1
    )
    assert kept.tolist() == list(range(len(scene.images)))
    poses = np.stack(poses_of(made))
    np.testing.assert_allclose(poses[:OLD], scene.poses[:OLD], atol=1e-9)
    metres, radians = transforms.pose_distance(poses[OLD:], scene.poses[OLD:])
    assert np.max(metres) < 0.006
    assert np.degrees(np.max(radians)) < 0.1
    np.testing.assert_allclose(cameras_of(made)[0].params, CAMERA.params, rtol=1e-12)
    assert made.num_points3D() > 250


def test_images_of_the_map_may_move_in_the_end(tmp_path: Path) -> None:
    scene = off(make_scene())
    shifted = scene.poses.copy()
    shifts = np.random.default_rng(8).normal(scale=0.003, size=(OLD, 3))
    shifted[:OLD, :3, 3] += shifts - shifts.mean(axis=0)
    shifted[OLD:] = np.stack([image.map_from_camera for image in scene.images[OLD:]])
    made, kept = reconstruct_around(
        extension(scene.recorded(shifted), refine_map=True),
        ReconstructionOptions(),
        workspace=tmp_path,
        threads=1,
    )
    assert len(kept) == len(scene.images)
    metres, radians = transforms.pose_distance(np.stack(poses_of(made)), scene.poses)
    before = transforms.pose_distance(shifted, scene.poses)[0]
    assert np.median(metres[:OLD]) < 0.6 * np.median(before[:OLD])
    assert np.median(metres[OLD:]) < 0.003
    assert np.degrees(np.max(radians)) < 0.15


def test_a_point_is_seen_often_enough_by_one_side(tmp_path: Path) -> None:
    scene = off(make_scene())
    made, _ = reconstruct_around(
        extension(scene), ReconstructionOptions(), workspace=tmp_path, threads=1
    )
    tracks = tracks_of(made)
    count = len(tracks.points)
    new = np.bincount(tracks.point, tracks.image >= OLD, minlength=count)
    old = np.bincount(tracks.point, tracks.image < OLD, minlength=count)
    assert np.all(np.maximum(new, old) >= 3)
    assert np.count_nonzero((new > 0) & (old > 0)) > 200


def test_images_that_join_nothing_are_dropped(tmp_path: Path) -> None:
    scene = make_scene()
    whole = extension(scene)
    lost = OLD + 1

    def without(matches: PairMatches) -> PairMatches:
        return {pair: found for pair, found in matches.items() if lost not in pair}

    made, kept = reconstruct_around(
        dataclasses.replace(whole, found=without(whole.found)),
        ReconstructionOptions(),
        workspace=tmp_path,
        threads=1,
    )
    assert kept.tolist() == [index for index in range(len(scene.images)) if index != lost]
    assert len(made.images) == len(scene.images) - 1
    assert made.images[lost + 1].name == scene.images[lost + 1].name


def test_images_that_show_what_the_map_has_are_left_out_if_wanted(tmp_path: Path) -> None:
    scene = make_scene()
    whole = dataclasses.replace(extension(scene), keep_all=False)
    options = ReconstructionOptions()
    _, kept = reconstruct_around(whole, options, workspace=tmp_path, threads=1)
    assert kept.tolist() == list(range(OLD))
    # A map that had only every third of these points gains by the same images.
    poor = {
        pair: found[scene.point_of[pair[0]][found[:, 0]] % 3 == 0]
        for pair, found in whole.known.items()
    }
    _, kept = reconstruct_around(
        dataclasses.replace(whole, known=poor), options, workspace=tmp_path, threads=1
    )
    assert kept.tolist() == list(range(len(scene.images)))


def tracks_of_scene(scene: Scene) -> Tracks:
    image = np.repeat(np.arange(len(scene.images)), [len(each) for each in scene.point_of])
    keypoint = np.concatenate([np.arange(len(each)) for each in scene.point_of])
    return Tracks(
        scene.points,
        image.astype(np.int32),
        keypoint.astype(np.int32),
        np.concatenate(scene.point_of).astype(np.int32),
    )


def test_tracks_give_the_matches_that_they_are_made_of() -> None:
    scene = make_scene(images=5, points=60)
    matches = matches_of_tracks(tracks_of_scene(scene))
    expected = scene.matches()
    assert set(matches) == set(expected)
    for pair, found in matches.items():
        assert set(map(tuple, found.tolist())) == set(map(tuple, expected[pair].tolist()))
    nothing = Tracks(np.zeros((0, 3)), *[np.zeros(0, np.int32)] * 3)
    assert matches_of_tracks(nothing) == {}


def test_what_depth_told_is_carried_over(tmp_path: Path) -> None:
    scene = make_scene()
    made, _ = reconstruct_around(
        extension(scene), ReconstructionOptions(), workspace=tmp_path, threads=1
    )
    tracks = tracks_of(made)
    count = len(scene.points)
    # Depth knew each point to a millimetre along the axis of the first camera.
    axis = scene.poses[0, :3, 2]
    knowledge = Knowledge(
        tracks_of_scene(scene), np.tile(np.outer(axis, axis) * 1e6, (count, 1, 1))
    )
    covariance = np.tile(np.eye(3) * 0.02**2, (len(tracks.points), 1, 1))
    moved, joined = knowledge.joined(tracks, covariance)
    truth = np.concatenate(scene.point_of)[
        [
            np.flatnonzero((knowledge.tracks.image == i) & (knowledge.tracks.keypoint == k))[0]
            for i, k in zip(tracks.image, tracks.keypoint, strict=True)
        ]
    ]
    nearest = np.empty(len(tracks.points), int)
    nearest[tracks.point] = truth
    before = np.abs((tracks.points - scene.points[nearest]) @ axis)
    after = np.abs((moved.points - scene.points[nearest]) @ axis)
    assert np.median(before) > 3e-3
    assert np.max(after) < 0.02 * np.max(before)
    assert np.allclose(np.einsum('i,pij,j->p', axis, joined, axis), 1e-6, rtol=0.01)
