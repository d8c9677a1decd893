"""Images are prepared as hloc prepares them, where a map of hloc's asks for it."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip('torch')

from hloc_localizer.features.learned.extraction import image_tensor
from hloc_localizer.features.learned.options import AlikedOptions, SuperPointOptions
from hloc_localizer.features.learned.preprocessing import preprocess
from hloc_localizer.maps.hloc_confs import local_conf


@pytest.fixture(scope='module')
def image() -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (853, 1280, 3), np.uint8)


def test_pixels_of_messages_which_nobody_may_write_to_are_taken_without_a_warning() -> None:
    random = np.random.default_rng(0)
    pixels = np.frombuffer(random.bytes(6 * 4 * 3), np.uint8).reshape(4, 6, 3)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        tensor = image_tensor(pixels, torch.device('cpu'))
    np.testing.assert_array_equal(np.round(tensor[0].permute(1, 2, 0).numpy() * 255.0), pixels)


def test_nothing_changes_without_options(image: NDArray[np.uint8]) -> None:
    small = image[:480, :640]
    assert preprocess(small, AlikedOptions()) is small


@pytest.mark.parametrize(('name', 'size'), [
    ('superpoint_aachen', (1024, 682)),  # 682.4
    ('superpoint_inloc', (1280, 853)),  # never enlarged
    ('superpoint_max', (1600, 1066)),  # 1066.25, enlarged
])  # fmt: skip
def test_superpoint_sees_grey_floating_point_pixels_of_hlocs_size(
    image: NDArray[np.uint8], name: str, size: tuple[int, int]
) -> None:
    prepared = preprocess(image, SuperPointOptions().with_values(local_conf(name).parameters))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    method = cv2.INTER_AREA if size[0] < 1280 else cv2.INTER_LINEAR
    expected = grey if size == (1280, 853) else cv2.resize(grey, size, interpolation=method)
    assert prepared.shape == size[::-1]
    np.testing.assert_array_equal(prepared, expected)


def test_aliked_sees_colours_that_were_not_rounded(image: NDArray[np.uint8]) -> None:
    parameters = local_conf('aliked-n16').parameters
    prepared = preprocess(image, AlikedOptions().with_values(parameters))
    expected = cv2.resize(image.astype(np.float32), (1024, 682), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(prepared, expected)
    assert np.any(prepared != np.round(prepared))
    rounded = preprocess(image, AlikedOptions())
    assert rounded.dtype == np.uint8
    assert np.abs(rounded - prepared).max() <= 0.51
