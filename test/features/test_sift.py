"""SIFT on real images: unit descriptors, pixels of the whole image, the same on every thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.features.sift import Sift, SiftOptions, root_sift
from hloc_localizer.sources.frame import Frame


@pytest.fixture(scope='module')
def image(lounge_frames: list[Frame]) -> np.ndarray:
    return lounge_frames[0].image


def assert_same(first: LocalFeatures, second: LocalFeatures) -> None:
    for field in ('keypoints', 'descriptors', 'scores', 'scales'):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


def test_descriptors_are_root_sift_of_unit_length(image: np.ndarray) -> None:
    features = Sift().extract(image)
    assert 500 <= len(features) <= 2000
    assert features.image_size == (540, 360)
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1.0, atol=1e-5)
    assert features.descriptors.min() >= 0.0
    assert np.all(np.diff(features.scores) <= 0.0)
    assert features.scales.min() > 0.9
    assert features.keypoints.min() > -0.5
    assert np.all(features.keypoints.max(axis=0) < [539.5, 359.5])


def test_root_sift_distance_is_the_hellinger_distance_of_the_histograms() -> None:
    histograms = np.random.default_rng(0).uniform(0, 255, (2, 128)).astype(np.float32)
    shares = histograms / histograms.sum(axis=1, keepdims=True)
    hellinger = np.sqrt(((np.sqrt(shares[0]) - np.sqrt(shares[1])) ** 2).sum())
    described = root_sift(histograms)
    assert np.linalg.norm(described[0] - described[1]) == pytest.approx(hellinger, rel=1e-5)
    assert np.isfinite(root_sift(np.zeros((1, 128), np.float32))).all()


@pytest.mark.parametrize('shape', [(120, 160), (120, 160, 3)])
def test_an_image_without_texture_has_no_features(shape: tuple[int, ...]) -> None:
    features = Sift().extract(np.full(shape, 90, np.uint8))
    assert len(features) == 0
    assert features.keypoints.shape == (0, 2)
    assert features.descriptors.shape == (0, 128)
    assert features.image_size == (160, 120)


def test_grey_and_colour_of_the_same_image_have_the_same_features(image: np.ndarray) -> None:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert_same(Sift().extract(image), Sift().extract(grey))


def test_the_limit_keeps_the_strongest_keypoints(image: np.ndarray) -> None:
    few, many = (Sift(SiftOptions(max_keypoints=count)).extract(image) for count in (150, 2000))
    assert len(few) == 150
    np.testing.assert_array_equal(few.scores, many.scores[:150])


def test_keypoints_are_centred_on_what_they_mark() -> None:
    rows, columns = np.mgrid[:200, :240]
    centres = np.array([[60.0, 50.0], [170.25, 60.5], [80.5, 150.75], [180.0, 140.0]])
    image = np.full((200, 240), 40.0)
    for x, y in centres:
        image += 180.0 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    features = Sift().extract(image.astype(np.uint8))
    distances = np.linalg.norm(features.keypoints[None] - centres[:, None], axis=2).min(axis=1)
    assert distances.max() < 0.1


def test_keypoints_of_a_reduced_image_are_pixels_of_the_large_one(image: np.ndarray) -> None:
    large = image.repeat(4, axis=0).repeat(4, axis=1)
    features = Sift(SiftOptions(max_image_size=540)).extract(large)
    assert features.image_size == (2160, 1440)
    whole = Sift().extract(image)
    # The corners of the images coincide: the centre of pixel p lies at 4 p + 1.5 of the large one.
    np.testing.assert_allclose(features.keypoints, whole.keypoints * 4 + 1.5, atol=1e-3)
    np.testing.assert_allclose(features.scales, whole.scales * 4, rtol=1e-5)
    np.testing.assert_array_equal(features.descriptors, whole.descriptors)


def test_features_are_the_same_on_every_thread_and_every_time(lounge_frames: list[Frame]) -> None:
    sift = Sift()
    images = [frame.image for frame in lounge_frames[:4]]
    one_by_one = [sift.extract(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(sift.extract, images * 2))
    for first, second in zip(one_by_one * 2, together, strict=True):
        assert_same(first, second)


def test_features_of_neighbouring_frames_match(lounge_frames: list[Frame]) -> None:
    sift = Sift()
    first, second = (sift.prepare(sift.extract(lounge_frames[i].image)) for i in (0, 1))
    (matches,) = sift.match(first, [second])
    assert len(matches) > 150
    moved = np.linalg.norm(
        first.keypoints[matches.indices[:, 0]] - second.keypoints[matches.indices[:, 1]], axis=1
    )
    # At 5 frames a second the image moves a little, and its parts much alike.
    assert np.percentile(np.abs(moved - np.median(moved)), 80) < 30.0
