"""The pose of several cameras held together is found where none of them alone is enough."""

from __future__ import annotations

import numpy as np
from cameras import CAMERAS
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.absolute_pose import AbsolutePoseOptions, estimate_absolute_pose
from hloc_localizer.geometry.generalized_pose import RigView, estimate_generalized_pose
from hloc_localizer.geometry.pose_chain import View

Array = NDArray[np.float64]
OPTIONS = AbsolutePoseOptions()
CAMERA = CAMERAS['OPENCV']
POSE = transforms.transform_from(
    transforms.rotation_from_rotvec([0.4, -1.1, 0.7]), [320.0, -140.0, 12.0]
)
MOUNTINGS = [
    transforms.transform_from(transforms.rotation_from_rotvec([0.0, yaw, 0.0]), [0.1 * index, 0, 0])
    for index, yaw in enumerate([0.0, 1.2, 2.4, 3.6, 4.8])
]


def unit_noise(count: int) -> Array:
    return np.tile(np.eye(2), (count, 1, 1))


def view(
    mounting: Array,
    random: np.random.Generator,
    *,
    right: int,
    wrong: int,
    pose: Array = POSE,
    off: Array | None = None,
    sigma: float = 0.0,
) -> RigView:
    """Return right matches with half a pixel of noise, and wrong ones, shuffled."""
    size = np.array(CAMERA.image_size)
    count = right + wrong
    keypoints = random.uniform(0.1 * size, 0.9 * size, (count, 2))
    rays = np.concatenate([CAMERA.normalise(keypoints), np.ones((count, 1))], axis=1)
    seen_from = pose @ mounting @ (np.eye(4) if off is None else off)
    points = transforms.apply(seen_from, rays * random.uniform(2, 8, (count, 1)))
    keypoints += random.normal(0.0, 0.5, keypoints.shape)
    keypoints[right:] = random.uniform([0, 0], size, (wrong, 2))
    order = random.permutation(count)
    return RigView(
        View(CAMERA, mounting, keypoints[order], points[order], unit_noise(count)),
        np.zeros(count, np.intp),
        position_sigma_m=sigma,
        rotation_sigma=sigma,
    )


def test_cameras_together_find_what_each_alone_would_not_dare() -> None:
    random = np.random.default_rng(1)
    views = [view(mounting, random, right=9, wrong=36) for mounting in MOUNTINGS]
    alone = [
        found[1].sum()
        for one in views
        if (found := estimate_absolute_pose(CAMERA, one.view.keypoints, one.view.points, OPTIONS))
    ]
    assert max(alone) < 14  # what a single image needs to be believed
    best, *others = estimate_generalized_pose(views, OPTIONS)
    distance, angle = transforms.pose_distance(best.map_from_rig, POSE)
    assert distance < 0.02
    assert np.degrees(angle) < 0.2
    assert sum(int(mask.sum()) for mask in best.inliers) >= 0.95 * 45
    assert all(other.score < 0.5 * best.score for other in others)


def test_two_places_that_explain_as_much_are_both_found() -> None:
    random = np.random.default_rng(2)
    elsewhere = transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, 0.0, 0.5]), POSE[:3, 3] + [9.0, 4.0, 0.0]
    )
    views = []
    for mounting in MOUNTINGS[:2]:
        here, there = (
            view(mounting, random, right=25, wrong=5, pose=pose) for pose in (POSE, elsewhere)
        )
        both = View(
            CAMERA,
            mounting,
            np.concatenate([here.view.keypoints, there.view.keypoints]),
            np.concatenate([here.view.points, there.view.points]),
            unit_noise(60),
        )
        views.append(RigView(both, np.repeat([0, 1], 30)))
    found = estimate_generalized_pose(views, OPTIONS)
    assert len(found) >= 2
    assert found[1].score > 0.8 * found[0].score
    for pose in (POSE, elsewhere):
        nearest = min(
            float(transforms.pose_distance(one.map_from_rig, pose)[0]) for one in found[:2]
        )
        assert nearest < 0.02


def test_loosely_tied_view_counts_within_what_its_tie_allows() -> None:
    random = np.random.default_rng(3)
    off = transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, 0.02, 0.0]), [0.03, 0.0, 0.0]
    )
    firm = view(MOUNTINGS[0], random, right=30, wrong=30)
    drifted = view(MOUNTINGS[1], random, right=12, wrong=0, off=off)
    told = view(MOUNTINGS[1], np.random.default_rng(4), right=12, wrong=0, off=off, sigma=0.03)
    (_, inliers), (_, excused) = (
        estimate_generalized_pose([firm, one], OPTIONS)[0].inliers for one in (drifted, told)
    )
    assert inliers.sum() < 8
    assert excused.sum() >= 11
    best = estimate_generalized_pose([firm, told], OPTIONS)[0]
    # The firm view decides where the rig is.
    assert transforms.pose_distance(best.map_from_rig, POSE)[0] < 0.03


def test_nothing_to_go_by_gives_no_pose() -> None:
    random = np.random.default_rng(5)
    assert estimate_generalized_pose([], OPTIONS) == []
    few = view(MOUNTINGS[0], random, right=3, wrong=0)
    assert estimate_generalized_pose([few], OPTIONS) == []


def test_same_input_gives_the_same_pose() -> None:
    first, second = (
        estimate_generalized_pose(
            [view(m, np.random.default_rng(7), right=9, wrong=30) for m in MOUNTINGS], OPTIONS
        )[0]
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.map_from_rig, second.map_from_rig)
