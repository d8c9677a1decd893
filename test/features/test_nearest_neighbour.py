"""Nearest neighbours: mutual, clear of the second best, the same alone and among others."""

from __future__ import annotations

import numpy as np
import pytest

from hloc_localizer.features.local_features import LocalFeatures, NearestNeighbourOptions
from hloc_localizer.features.nearest_neighbour import match_nearest, mutual_matches

ANY = NearestNeighbourOptions(max_ratio=1.0, min_similarity=-1.0)


def features(descriptors: np.ndarray) -> LocalFeatures:
    count = len(descriptors)
    return LocalFeatures(
        keypoints=np.zeros((count, 2), np.float32),
        descriptors=descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True),
        scores=np.ones(count, np.float32),
        scales=np.ones(count, np.float32),
        image_size=(640, 480),
    )


def random_features(count: int, seed: int) -> LocalFeatures:
    values = np.random.default_rng(seed).uniform(size=(count, 128)) ** 4
    return features(values.astype(np.float32))


def disturbed(original: LocalFeatures, order: np.ndarray, noise: float, seed: int) -> LocalFeatures:
    random = np.random.default_rng(seed)
    values = original.descriptors[order]
    return features(values + random.normal(0, noise, values.shape).astype(np.float32))


def by_brute_force(
    first: LocalFeatures, second: LocalFeatures, options: NearestNeighbourOptions
) -> list[tuple[int, int]]:
    """Match by distances, one keypoint after the other."""
    distance = np.linalg.norm(
        first.descriptors[:, None].astype(float) - second.descriptors[None].astype(float), axis=2
    )
    pairs = []
    for row in range(len(first)):
        column = int(distance[row].argmin())
        if distance[:, column].argmin() != row:
            continue
        best = distance[row, column]
        rivals = [*np.delete(distance[row], column), *np.delete(distance[:, column], row)]
        clear = options.max_ratio >= 1.0 or best <= options.max_ratio * min(rivals, default=2.0)
        if 1.0 - 0.5 * best**2 >= options.min_similarity and clear:
            pairs.append((row, column))
    return pairs


@pytest.mark.parametrize('max_ratio', [0.7, 0.85, 0.95, 1.0])
@pytest.mark.parametrize('min_similarity', [-1.0, 0.6, 0.9])
def test_matches_are_those_of_a_plain_search(max_ratio: float, min_similarity: float) -> None:
    first = random_features(120, 0)
    order = np.random.default_rng(1).permutation(120)[:80]
    second = disturbed(first, order, 0.03, 2)
    options = NearestNeighbourOptions(max_ratio=max_ratio, min_similarity=min_similarity)
    (matches,) = match_nearest(first, [second], options)
    expected = by_brute_force(first, second, options)
    assert [tuple(pair) for pair in matches.indices.tolist()] == expected
    assert len(expected) > 10


def test_each_keypoint_is_matched_once_at_most_and_to_its_own_copy() -> None:
    first = random_features(200, 3)
    order = np.random.default_rng(4).permutation(200)
    (matches,) = match_nearest(first, [disturbed(first, order, 0.01, 5)], NearestNeighbourOptions())
    assert len(matches) > 190
    np.testing.assert_array_equal(order[matches.indices[:, 1]], matches.indices[:, 0])
    assert len(np.unique(matches.indices[:, 0])) == len(matches)
    assert len(np.unique(matches.indices[:, 1])) == len(matches)
    assert np.all((matches.scores > 0.9) & (matches.scores <= 1.0))


def test_one_sided_likings_are_no_matches() -> None:
    # The second row likes the first column best, but the first row is nearer to it.
    similarity = np.array([[0.9, 0.2], [0.8, 0.1]], np.float32)
    assert mutual_matches(similarity, ANY).indices.tolist() == [[0, 0]]


@pytest.mark.parametrize('axis', [0, 1])
def test_a_close_second_in_either_direction_refutes_a_match(axis: int) -> None:
    similarity = np.array([[0.9, 0.1], [0.88, 0.1]], np.float32)
    similarity = similarity if axis == 0 else similarity.T.copy()
    options = NearestNeighbourOptions(max_ratio=0.85, min_similarity=0.5)
    assert len(mutual_matches(similarity.copy(), options)) == 0
    lenient = NearestNeighbourOptions(max_ratio=0.95, min_similarity=0.5)
    assert mutual_matches(similarity.copy(), lenient).indices.tolist() == [[0, 0]]


def test_matching_several_images_at_once_gives_what_each_gives_alone() -> None:
    query = random_features(150, 6)
    random = np.random.default_rng(7)
    references = [
        disturbed(query, random.permutation(150)[:count], 0.03, count) for count in (90, 1, 40, 149)
    ]
    references.insert(2, random_features(0, 8))
    together = match_nearest(query, references, NearestNeighbourOptions())
    assert [len(matches) > 0 for matches in together] == [True, True, False, True, True]
    for reference, matches in zip(references, together, strict=True):
        (alone,) = match_nearest(query, [reference], NearestNeighbourOptions())
        np.testing.assert_array_equal(matches.indices, alone.indices)
        np.testing.assert_allclose(matches.scores, alone.scores, atol=1e-5)


def test_nothing_matches_nothing() -> None:
    nothing, something = random_features(0, 0), random_features(5, 1)
    assert match_nearest(something, [], ANY) == []
    for query, reference in ((nothing, something), (something, nothing), (nothing, nothing)):
        (matches,) = match_nearest(query, [reference], ANY)
        assert matches.indices.shape == (0, 2)
        assert len(matches) == 0


def test_half_precision_descriptors_match_like_single_precision() -> None:
    first = random_features(60, 9)
    second = disturbed(first, np.arange(60), 0.02, 10)
    (single,) = match_nearest(first, [second], NearestNeighbourOptions())
    halves = [
        LocalFeatures(one.keypoints, one.descriptors.astype(np.float16), one.scores, one.scales,
                      one.image_size)
        for one in (first, second)
    ]  # fmt: skip
    (half,) = match_nearest(halves[0], [halves[1]], NearestNeighbourOptions())
    np.testing.assert_array_equal(half.indices, single.indices)
