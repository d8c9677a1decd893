"""Map images are matched pair by pair, and matches off their epipolar lines are dropped."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from synthetic_scene import CAMERA, Scene, make_scene

from hloc_localizer.features.sift import Sift
from hloc_localizer.mapping.matching import PairMatches, match_pairs, verify_matches


@pytest.fixture(scope='module')
def scene() -> Scene:
    return make_scene()


def verified(scene: Scene, matches: PairMatches, max_error_px: float = 4.0) -> PairMatches:
    recorded = [image.map_from_camera for image in scene.images]
    return verify_matches(scene.images, recorded, [CAMERA], matches, max_error_px=max_error_px)


def with_plane(scene: Scene, image: int, plane: np.ndarray) -> Scene:
    images = list(scene.images)
    images[image] = dataclasses.replace(images[image], plane=plane)
    return dataclasses.replace(scene, images=images)


@pytest.mark.parametrize('threads', [1, 3])
def test_every_pair_is_matched_as_by_itself(scene: Scene, threads: int) -> None:
    sift, told = Sift(), []
    # One image has more partners than go into one batch.
    pairs = [(0, other) for other in range(1, 12)] + [(3, 7), (5, 6)]
    matches = match_pairs(scene.images, pairs, sift, threads=threads, advance=told.append)
    assert sorted(matches) == sorted(pairs)
    assert sum(told) == len(pairs)
    for first, second in pairs:
        (alone,) = sift.match(scene.images[first].features, [scene.images[second].features])
        np.testing.assert_array_equal(matches[first, second], alone.indices)
        a, b = matches[first, second].T
        right = scene.point_of[first][a] == scene.point_of[second][b]
        assert right.mean() > 0.98
        assert right.sum() > 150


def test_true_matches_stay_and_wrong_ones_mostly_go(scene: Scene) -> None:
    matches = scene.matches()
    kept = verified(scene, matches)
    assert sorted(kept) == sorted(matches)
    assert all(len(kept[pair]) == len(matches[pair]) for pair in matches)
    random = np.random.default_rng(0)
    wrong = {
        pair: np.stack([pairs[:, 0], random.permutation(pairs[:, 1])], axis=1)
        for pair, pairs in matches.items()
    }
    left = sum(len(one) for one in verified(scene, wrong).values())
    assert left < 0.12 * sum(len(one) for one in wrong.values())


def test_kept_matches_are_those_near_the_epipolar_lines(scene: Scene) -> None:
    matches = scene.matches()
    # Up and down, across the lines of a sideways motion.
    moved = CAMERA.normalise(scene.images[1].features.keypoints + np.array([0.0, 12.0]))
    disturbed = with_plane(scene, 1, moved)
    strict = verified(disturbed, matches, max_error_px=6.0)
    lenient = verified(disturbed, matches, max_error_px=20.0)
    assert (1, 2) not in strict or len(strict[1, 2]) < 0.3 * len(matches[1, 2])
    assert len(lenient[1, 2]) == len(matches[1, 2])
    assert len(strict[2, 3]) == len(matches[2, 3])


def test_pairs_with_few_matches_are_dropped(scene: Scene) -> None:
    few = {(0, 1): scene.matches()[0, 1][:7], (0, 2): scene.matches()[0, 2][:8]}
    assert list(verified(scene, few)) == [(0, 2)]


def test_keypoints_beyond_the_camera_model_match_nothing(scene: Scene) -> None:
    nowhere = np.full_like(scene.images[0].plane, np.nan)
    kept = verified(with_plane(scene, 0, nowhere), scene.matches())
    assert min(first for first, _ in kept) == 1
