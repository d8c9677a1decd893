"""A query's keypoints find the map points that they show, each once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial import cKDTree
from synthetic_map import make_runtime

from hloc_localizer.features.local_features import LocalFeatures, NearestNeighbourOptions
from hloc_localizer.features.sift import Sift, SiftOptions
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import point_matching
from hloc_localizer.localization.options import LocalizerOptions, RetrievalOptions
from hloc_localizer.localization.place_matching import create_matcher
from hloc_localizer.localization.point_matching import (
    PointIndex,
    PointMatches,
    match_near_pose,
)
from hloc_localizer.maps import RuntimeMap
from hloc_localizer.maps.quantisation import restore_descriptors

CAMERA = Camera('PINHOLE', 640, 480, (500.0, 500.0, 319.5, 239.5))
OPTIONS = NearestNeighbourOptions()
POSE = transforms.transform_from(
    transforms.rotation_from_rotvec([0.1, -0.2, 0.05]), [0.3, -0.1, -6.0]
)
EVEN, ODD = np.array([0, 2]), np.array([1, 3])


@pytest.fixture(scope='module')
def runtime() -> RuntimeMap:
    """Return a map whose even images see the even points, and the odd images the odd ones."""
    return make_runtime(images=4, points=60)


def query_of(
    runtime: RuntimeMap, points: np.ndarray, noise: float = 0.01, seed: int = 0
) -> LocalFeatures:
    """Return features that show some points of the map from a known pose."""
    random = np.random.default_rng(seed)
    values = restore_descriptors(runtime.descriptors[points])
    values = values + random.normal(0.0, noise, values.shape)
    in_camera = transforms.apply(transforms.invert(POSE), runtime.points[points])
    return LocalFeatures(
        keypoints=CAMERA.project(in_camera).astype(np.float32),
        descriptors=(values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32),
        scores=np.ones(len(points), np.float32),
        scales=np.ones(len(points), np.float32),
        image_size=CAMERA.image_size,
    )


def places_matched(
    runtime: RuntimeMap, query: LocalFeatures, places: list[np.ndarray], count: int = 1000
) -> list[PointMatches]:
    front_end = Sift(SiftOptions(match=OPTIONS))
    options = LocalizerOptions(retrieval=RetrievalOptions(max_keypoints=count))
    return create_matcher(runtime, PointIndex(runtime), front_end, options)(query, places)


def test_points_and_descriptors_of_images_are_listed_once(runtime: RuntimeMap) -> None:
    index = PointIndex(runtime)
    np.testing.assert_array_equal(index.points_of(EVEN), np.arange(0, 60, 2))
    np.testing.assert_array_equal(index.points_of(np.array([0, 1])), np.arange(60))
    point, rows = index.descriptors_seen_by(ODD)
    np.testing.assert_array_equal(point, np.arange(1, 60, 2))
    np.testing.assert_array_equal(runtime.descriptor_point[rows], point)
    owner, rows = index.descriptors_of(np.array([3, 10, 59], np.int32))
    np.testing.assert_array_equal(owner, [3, 10, 59])
    np.testing.assert_array_equal(rows, [3, 10, 59])
    assert len(index.points_of(np.zeros(0, np.intp))) == 0


def test_surest_points_are_those_of_least_sigma(runtime: RuntimeMap) -> None:
    sigma = np.random.default_rng(0).permutation(60).astype(np.float32)
    covariance = sigma[:, None] ** 2 * np.array([1, 0, 0, 1, 0, 1], np.float32)
    index = PointIndex(dataclasses.replace(runtime, point_covariance=covariance))
    points = index.surest_points_of(EVEN, 10)
    assert len(points) == 10
    assert np.all(np.diff(points) > 0)
    even = np.arange(0, 60, 2)
    assert set(points) == set(even[np.argsort(sigma[even])[:10]])
    np.testing.assert_array_equal(index.surest_points_of(EVEN, 1000), even)


def test_descriptors_out_of_order_are_refused(runtime: RuntimeMap) -> None:
    shuffled = dataclasses.replace(runtime, descriptor_point=runtime.descriptor_point[::-1].copy())
    with pytest.raises(ValueError, match='not in the order of their points'):
        PointIndex(shuffled)


def test_keypoints_find_their_points_in_the_place_that_has_them(runtime: RuntimeMap) -> None:
    shown = np.array([40, 3, 8, 22, 51, 0, 14])
    even, odd = places_matched(runtime, query_of(runtime, shown), [EVEN, ODD])
    assert {tuple(pair) for pair in zip(shown[even.keypoint], even.point, strict=True)} == {
        (point, point) for point in (40, 8, 22, 0, 14)
    }
    assert set(odd.point) == {3, 51}
    np.testing.assert_array_equal(shown[odd.keypoint], odd.point)


def test_surest_matches_come_first_and_places_do_not_disturb_each_other(
    runtime: RuntimeMap,
) -> None:
    query = query_of(runtime, np.arange(0, 60, 2), noise=0.02)
    together = places_matched(runtime, query, [ODD, EVEN, np.zeros(0, np.intp), np.arange(4)])
    assert np.all(np.diff(together[1].score) <= 0.0)
    assert len(together[1]) > 25
    assert len(together[2]) == 0
    (alone,) = places_matched(runtime, query, [EVEN])
    np.testing.assert_array_equal(together[1].point, alone.point)
    np.testing.assert_array_equal(together[1].keypoint, alone.keypoint)


def test_only_the_strongest_keypoints_take_part(runtime: RuntimeMap) -> None:
    query = query_of(runtime, np.arange(0, 60, 2))
    (few,) = places_matched(runtime, query, [EVEN], count=12)
    np.testing.assert_array_equal(np.sort(few.keypoint), np.arange(12))


def test_ambiguous_points_are_not_matched_but_views_of_one_point_are(runtime: RuntimeMap) -> None:
    query = query_of(runtime, np.array([10]))
    twin = runtime.descriptors.copy()
    twin[20] = twin[10]  # another point that looks the same
    ambiguous = dataclasses.replace(runtime, descriptors=twin)
    assert len(places_matched(ambiguous, query, [EVEN])[0]) == 0
    # The same two descriptors, but both of point 10.
    rows = np.array([*range(11), 20, *range(11, 60)])
    second = int(runtime.observation_offsets[2])
    observed = np.where(runtime.observation_descriptor > 10, runtime.observation_descriptor + 1,
                        runtime.observation_descriptor)  # fmt: skip
    of_image_2 = np.arange(len(observed)) >= second
    observed[of_image_2 & (runtime.observation_point == 10)] = 11
    two_views = dataclasses.replace(
        runtime,
        descriptors=twin[rows],
        descriptor_point=np.array([*range(11), 10, *range(11, 60)], np.int32),
        observation_descriptor=observed.astype(np.int32),
    )
    own = dataclasses.replace(two_views, descriptors=two_views.descriptors.copy())
    own.descriptors[np.flatnonzero(own.descriptor_point == 20)] = runtime.descriptors[20]
    (found,) = places_matched(own, query, [EVEN])
    assert found.point.tolist() == [10]


def test_no_query_and_no_place_give_no_matches(runtime: RuntimeMap) -> None:
    nothing = query_of(runtime, np.zeros(0, np.intp))
    assert [len(one) for one in places_matched(runtime, nothing, [EVEN, ODD])] == [0, 0]
    assert places_matched(runtime, query_of(runtime, np.arange(3)), [np.zeros(0, np.intp)])[
        0
    ].point.shape == (0,)


def near(
    runtime: RuntimeMap,
    query: LocalFeatures,
    pose: np.ndarray = POSE,
    *,
    camera: Camera = CAMERA,
    radius_px: float = 10.0,
    min_similarity: float = 0.8,
) -> tuple[PointMatches, np.ndarray]:
    return match_near_pose(
        query,
        cKDTree(query.keypoints),
        runtime,
        PointIndex(runtime),
        np.arange(60, dtype=np.int32),
        camera,
        pose,
        min_similarity=min_similarity,
        radius_px=radius_px,
    )


def test_second_look_finds_points_where_they_should_appear(runtime: RuntimeMap) -> None:
    shown = np.random.default_rng(1).permutation(60)[:40]
    query = query_of(runtime, shown)
    inside = CAMERA.contains(query.keypoints, border=2.0)
    matches, visible = near(runtime, query)
    assert len(matches) == inside.sum() > 20
    np.testing.assert_array_equal(shown[matches.keypoint], matches.point)
    every = CAMERA.project(transforms.apply(transforms.invert(POSE), runtime.points))
    assert len(visible) == CAMERA.contains(every, border=2.0).sum() > len(matches)
    assert np.all(CAMERA.contains(visible))


def test_second_look_reaches_as_far_as_its_radius(runtime: RuntimeMap) -> None:
    query = query_of(runtime, np.arange(60))
    query = dataclasses.replace(query, keypoints=query.keypoints + np.float32([6.0, 0.0]))
    assert len(near(runtime, query, radius_px=5.0)[0]) < 5
    matches, _ = near(runtime, query, radius_px=7.0)
    assert len(matches) > 30
    assert (matches.keypoint == matches.point).mean() > 0.9


def test_second_look_needs_likeness_and_uses_each_keypoint_and_point_once(
    runtime: RuntimeMap,
) -> None:
    unlike = query_of(runtime, np.arange(60), noise=0.3)
    assert len(near(runtime, unlike, min_similarity=0.8)[0]) == 0
    matches, _ = near(runtime, unlike, radius_px=100.0, min_similarity=-1.0)
    assert len(matches) > 10
    assert len(np.unique(matches.keypoint)) == len(np.unique(matches.point)) == len(matches)
    assert np.all(np.diff(matches.score) <= 0.0)


def test_a_wide_search_finds_the_same_whichever_way_its_descriptors_are_compared(
    runtime: RuntimeMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlike = query_of(runtime, np.arange(60), noise=0.3)
    at_once, _ = near(runtime, unlike, radius_px=200.0, min_similarity=-1.0)
    monkeypatch.setattr(point_matching, '_MOST_COSINES', 0)
    one_by_one, _ = near(runtime, unlike, radius_px=200.0, min_similarity=-1.0)
    assert len(at_once) > 10
    np.testing.assert_array_equal(at_once.keypoint, one_by_one.keypoint)
    np.testing.assert_array_equal(at_once.point, one_by_one.point)
    np.testing.assert_allclose(at_once.score, one_by_one.score, atol=1e-6)


def test_second_look_away_from_the_map_sees_nothing(runtime: RuntimeMap) -> None:
    behind = POSE @ np.diag([-1.0, 1.0, -1.0, 1.0])
    matches, visible = near(runtime, query_of(runtime, np.arange(60)), behind)
    assert len(matches) == 0
    assert visible.shape == (0, 2)


def test_points_beyond_the_fold_of_the_distortion_are_not_visible(runtime: RuntimeMap) -> None:
    camera = Camera('RADIAL', 640, 480, (400.0, 319.5, 239.5, -0.3, 0.0))
    fold = np.sqrt(1.0 / 0.9)
    closer = POSE.copy()
    closer[:3, 3] += 5.0 * POSE[:3, 2]
    in_camera = transforms.apply(transforms.invert(closer), runtime.points)
    in_camera = in_camera[in_camera[:, 2] > 0.0]
    plane = in_camera[:, :2] / in_camera[:, 2:]
    radius = np.linalg.norm(plane, axis=1, keepdims=True)
    formula = plane * (1.0 - 0.3 * radius**2) * 400.0 + [319.5, 239.5]
    inside = camera.contains(formula, border=2.0)
    beyond = radius[:, 0] > fold
    assert (inside & beyond).sum() >= 5
    assert (inside & ~beyond).sum() >= 5
    _, visible = near(runtime, query_of(runtime, np.arange(60)), closer, camera=camera)
    np.testing.assert_allclose(visible, formula[inside & ~beyond], atol=1e-9)


def test_joined_matches_use_nothing_twice() -> None:
    score = np.float32([0.9, 0.8])
    first = PointMatches(np.array([0, 1]), np.array([10, 11]), score)
    other = PointMatches(np.array([1, 2, 3, 4]), np.array([12, 10, 13, 14]), np.repeat(score, 2))
    joined = first.joined(other)
    assert joined.keypoint.tolist() == [0, 1, 3, 4]
    assert joined.point.tolist() == [10, 11, 13, 14]
    np.testing.assert_array_equal(joined.score, np.float32([0.9, 0.8, 0.8, 0.8]))
    kept = joined.subset(joined.point > 10)
    assert kept.keypoint.tolist() == [1, 3, 4]
