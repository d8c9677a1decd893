"""Candidates are the most alike, grouped by what they see, and extended to neighbours."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from synthetic_map import make_runtime

from hloc_localizer.localization.places import (
    group_by_place,
    margin,
    neighbours_of,
    retrieve,
    sessions_of,
)
from hloc_localizer.maps import RuntimeMap


@pytest.fixture(scope='module')
def runtime() -> RuntimeMap:
    """Return six images in a row; even ones share 25 points with each other, and so do odd ones."""
    runtime = make_runtime(images=6, points=50)
    poses = np.tile(np.eye(4), (6, 1, 1))
    poses[:, 0, 3] = np.arange(6)
    return dataclasses.replace(runtime, map_from_camera=poses)


def test_most_similar_images_come_first(runtime: RuntimeMap) -> None:
    stored = runtime.global_descriptors.astype(np.float32)
    query = 0.9 * stored[4] + 0.4 * stored[1]
    found = retrieve(query / np.linalg.norm(query), stored, 3)
    assert found.images[:2].tolist() == [4, 1]
    assert len(found.images) == 3
    assert np.all(np.diff(found.scores) <= 0.0)
    assert found.scores[0] == pytest.approx(stored[4] @ query / np.linalg.norm(query), abs=1e-6)
    assert len(retrieve(query, stored, 100).images) == 6


def test_equally_similar_images_come_in_the_order_of_the_map() -> None:
    same = np.ones((5, 4), np.float32) / 2.0
    assert retrieve(same[0], same, 3).images.tolist() == [0, 1, 2]
    # A query without features is like nothing, and told so by its scores.
    np.testing.assert_array_equal(retrieve(np.zeros(4, np.float32), same, 2).scores, 0.0)


def test_every_session_is_asked_for_its_own() -> None:
    names = [*(f'camera/{i}.jpg' for i in range(4)), *(f'query/camera/{i}.jpg' for i in range(6))]
    sessions = sessions_of(names)
    assert sessions.tolist() == [0] * 4 + [1] * 6
    assert sessions_of(['left/1.jpg', 'right/1.jpg']).tolist() == [0, 0]
    assert sessions_of([]).tolist() == []
    angles = np.radians([30.0, 20.0, 40.0, 50.0, 1.0, 2.0, 3.0, 4.0, 5.0, 60.0])
    stored = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    query = np.array([1.0, 0.0], np.float32)
    assert retrieve(query, stored, 3).images.tolist() == [4, 5, 6]
    found = retrieve(query, stored, 3, sessions)
    assert found.images.tolist() == [4, 5, 6, 1, 0, 2]
    assert np.all(np.diff(found.scores) < 0.0)
    # Of very many sessions the best images count.
    many = retrieve(query, stored, 1, np.arange(10))
    assert many.images.tolist() == [4, 5, 6, 7]


def test_the_margin_is_to_the_best_image_of_another_place(runtime: RuntimeMap) -> None:
    stored = runtime.global_descriptors.astype(np.float32)
    query = stored[4] + 0.5 * stored[2] + 0.4 * stored[1]
    query /= np.linalg.norm(query)
    found = retrieve(query, stored, 2)
    assert found.images.tolist() == [4, 2]
    # 2 shares points with 4 and is the same place; 1, 3 and 5 are another one.
    expected = stored[4] @ query - (stored[[1, 3, 5]] @ query).max()
    assert margin(found, runtime, 10) == pytest.approx(float(expected), abs=1e-6)
    alone = float(stored[4] @ query - stored[2] @ query)
    assert margin(found, runtime, 26) == pytest.approx(alone, abs=1e-6)
    everything = dataclasses.replace(
        runtime,
        covisible_offsets=np.arange(0, 31, 5),
        covisible_image=np.array(
            [other for one in range(6) for other in range(6) if other != one], np.int32
        ),
        covisible_count=np.full(30, 30, np.int32),
    )
    assert margin(found, everything, 10) is None


def test_candidates_that_share_points_are_one_place(runtime: RuntimeMap) -> None:
    groups = group_by_place(runtime, np.array([3, 0, 5, 2]), 10)
    assert [group.tolist() for group in groups] == [[3, 5], [0, 2]]
    alone = group_by_place(runtime, np.array([3, 0, 5, 2]), 26)
    assert [group.tolist() for group in alone] == [[3], [0], [5], [2]]
    assert group_by_place(runtime, np.zeros(0, np.intp), 10) == []


def test_a_chain_of_shared_points_makes_one_place(runtime: RuntimeMap) -> None:
    # 0 - 1 - 2 - 3, each only with the next.
    chained = dataclasses.replace(
        runtime,
        covisible_offsets=np.array([0, 1, 3, 5, 6, 6, 6]),
        covisible_image=np.array([1, 0, 2, 1, 3, 2], np.int32),
        covisible_count=np.full(6, 30, np.int32),
    )
    groups = group_by_place(chained, np.array([3, 0, 2, 1, 4]), 10)
    assert [group.tolist() for group in groups] == [[3, 0, 2, 1], [4]]
    # Without its link the chain falls apart: only candidates connect candidates.
    groups = group_by_place(chained, np.array([3, 0, 1]), 10)
    assert [group.tolist() for group in groups] == [[3], [0, 1]]


def test_neighbours_are_the_nearest_covisible_images_that_look_the_same_way(
    runtime: RuntimeMap,
) -> None:
    pose = np.eye(4)
    pose[0, 3] = 3.8
    np.testing.assert_array_equal(neighbours_of(runtime, np.array([0]), pose, 2), [4, 2])
    np.testing.assert_array_equal(neighbours_of(runtime, np.array([1]), pose, 10), [3, 5, 1])
    turned = runtime.map_from_camera.copy()
    turned[4] = turned[4] @ np.diag([-1.0, 1.0, -1.0, 1.0])  # looks back
    away = dataclasses.replace(runtime, map_from_camera=turned)
    np.testing.assert_array_equal(neighbours_of(away, np.array([0]), pose, 10), [2, 0, 4])
