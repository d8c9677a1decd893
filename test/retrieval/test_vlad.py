"""VLAD learned on a room finds the image that a disturbed view was made of."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.features.sift import Sift
from hloc_localizer.retrieval.registry import create_global_descriptor
from hloc_localizer.retrieval.vlad import Vlad, VladOptions, learn_vlad
from hloc_localizer.sources.frame import Frame


@pytest.fixture(scope='module')
def room(lounge_frames: list[Frame]) -> list[LocalFeatures]:
    sift = Sift()
    return [sift.extract(frame.image) for frame in lounge_frames]


@pytest.fixture(scope='module')
def vlad(room: list[LocalFeatures]) -> Vlad:
    return learn_vlad(room)


def test_shifted_crop_retrieves_the_image_that_it_was_cut_from(
    lounge_frames: list[Frame], room: list[LocalFeatures], vlad: Vlad
) -> None:
    sift = Sift()
    described = np.stack([vlad.describe(features) for features in room])
    retrieved = []
    for frame in lounge_frames:
        crop = cv2.convertScaleAbs(frame.image[20:340, 45:525], alpha=0.8, beta=15)
        scores = described @ vlad.describe(sift.extract(crop))
        retrieved.append(int(np.argmax(scores)))
    hits = np.equal(retrieved, np.arange(len(lounge_frames)))
    assert hits.mean() >= 0.9, retrieved
    # 5 frames a second: a miss may only be the frame before or after.
    assert np.abs(np.subtract(retrieved, np.arange(len(lounge_frames)))).max() <= 1


def test_descriptors_are_of_unit_length_and_told_apart(
    room: list[LocalFeatures], vlad: Vlad
) -> None:
    described = np.stack([vlad.describe(features) for features in room])
    assert described.dtype == np.float32
    assert described.shape[1] == len(room) - 1  # I images span I - 1 directions about their mean
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1.0, atol=1e-5)
    cosines = described @ described.T
    # Whitening sets even neighbours at right angles; those farther off are farther still.
    assert cosines[0, 1] > cosines[0, 10] + 0.05


def test_stored_arrays_give_the_same_descriptor(room: list[LocalFeatures], vlad: Vlad) -> None:
    # They are stored in half precision; stored again they stay as they are.
    again = create_global_descriptor(Vlad.name, vlad.arrays)
    assert (again.name, again.size) == ('vlad', vlad.size)
    for name, array in vlad.arrays.items():
        assert array.dtype == np.float16
        np.testing.assert_array_equal(Vlad(vlad.arrays).arrays[name], array)
    pixels = np.zeros((1, 1), np.uint8)
    for features in room[:5]:
        cosine = float(again.describe(pixels, features) @ vlad.describe(features))
        assert cosine == pytest.approx(1.0, abs=1e-3)


def test_learning_twice_gives_the_same_words(room: list[LocalFeatures], vlad: Vlad) -> None:
    again = learn_vlad(room)
    for name, array in vlad.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    other = learn_vlad(room, VladOptions(seed=1))
    assert not np.array_equal(other.arrays['words'], vlad.arrays['words'])


def part(features: LocalFeatures, chosen: slice | np.ndarray) -> LocalFeatures:
    return LocalFeatures(
        features.keypoints[chosen],
        features.descriptors[chosen],
        features.scores[chosen],
        features.scales[chosen],
        features.image_size,
    )


def test_length_of_the_descriptor_follows_the_options(room: list[LocalFeatures]) -> None:
    halves = [part(features, slice(first, None, 2)) for features in room for first in (0, 1)]
    small = learn_vlad(halves, VladOptions(clusters=8, dimensions=16))
    assert len(halves) > 17
    assert small.arrays['words'].shape == (8, 128)
    assert small.describe(room[0]).shape == (16,)


def test_order_of_the_local_features_does_not_matter(room: list[LocalFeatures], vlad: Vlad) -> None:
    features = room[0]
    order = np.random.default_rng(0).permutation(len(features))
    shuffled = part(features, order)
    np.testing.assert_allclose(vlad.describe(shuffled), vlad.describe(features), atol=1e-4)


def test_image_without_features_is_like_no_image(room: list[LocalFeatures], vlad: Vlad) -> None:
    nothing = Sift().extract(np.zeros((100, 100), np.uint8))
    described = vlad.describe(nothing)
    assert described.shape == vlad.describe(room[0]).shape
    np.testing.assert_array_equal(described, 0.0)


def test_too_few_local_descriptors_are_refused(room: list[LocalFeatures]) -> None:
    few = part(room[0], slice(30))
    with pytest.raises(ValueError, match='30 local descriptors cannot make 64 words'):
        learn_vlad([few])


def test_identical_images_still_describe_themselves(room: list[LocalFeatures]) -> None:
    vlad = learn_vlad([room[0]] * 4, VladOptions(clusters=8))
    described = vlad.describe(room[0])
    assert np.isfinite(described).all()
    assert np.linalg.norm(described) == pytest.approx(1.0, abs=1e-5)


def test_unknown_name_and_missing_arrays_are_named(vlad: Vlad) -> None:
    with pytest.raises(InputError, match=r"^global descriptor 'gist' is not known; known: .*vlad"):
        create_global_descriptor('gist', vlad.arrays)
    words_only = {'words': vlad.arrays['words']}
    with pytest.raises(InputError, match='lacks the array mean of its global descriptor'):
        create_global_descriptor('vlad', words_only)


@pytest.mark.parametrize('name', ['words', 'mean', 'projection'])
@pytest.mark.parametrize('spoil', ['flat', 'shorter'])
def test_arrays_that_do_not_fit_together_are_refused(name: str, spoil: str) -> None:
    random = np.random.default_rng(0)
    arrays = {
        'words': random.normal(size=(4, 8)),
        'mean': random.normal(size=32),
        'projection': random.normal(size=(32, 16)),
    }
    assert Vlad(arrays).size == 16
    spoilt = arrays[name].reshape(1, -1)[0] if spoil == 'flat' else arrays[name][:-1]
    if spoilt.shape == arrays[name].shape:
        spoilt = arrays[name].reshape(-1, 1)
    with pytest.raises(InputError, match='do not fit together'):
        Vlad({**arrays, name: spoilt})
