"""Why an image has few features is told from its statistics."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from hloc_localizer.localization.image_quality import why_few_features
from hloc_localizer.localization.result import Reason
from hloc_localizer.sources import Frame

Image = np.ndarray


def _gaussian(image: Image) -> Image:
    return cv2.GaussianBlur(image, (0, 0), 6.0)


def _dark(image: Image) -> Image:
    noise = np.random.default_rng(0).normal(0.0, 1.0, image.shape)
    return np.clip(image * 0.05 + noise, 0, 255).astype(np.uint8)


def _bright(image: Image) -> Image:
    return np.clip(image.astype(np.int32) + 245, 0, 255).astype(np.uint8)


def _as_it_is(image: Image) -> Image:
    return image


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (_as_it_is, Reason.NO_TEXTURE),
        (_gaussian, Reason.BLURRED),
        (_dark, Reason.BADLY_EXPOSED),
        (_bright, Reason.BADLY_EXPOSED),
    ],
)
@pytest.mark.parametrize('colour', [False, True])
def test_what_was_done_to_a_real_image_is_told(
    lounge_frames: list[Frame], change: Callable[[Image], Image], reason: Reason, colour: bool
) -> None:
    for frame in lounge_frames[::5]:
        image = frame.image if colour else cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        assert why_few_features(change(image)) is reason


@pytest.mark.parametrize('noise', [0.0, 2.0, 6.0])
def test_a_wall_is_neither_blurred_nor_dark(noise: float) -> None:
    v, u = np.mgrid[0:360, 0:540]
    random = np.random.default_rng(1)
    wall = 60 + 100 * (0.7 * u / 540 + 0.3 * v / 360) + random.normal(0.0, noise, u.shape)
    assert why_few_features(wall.astype(np.uint8)) is Reason.NO_TEXTURE


@pytest.mark.parametrize('size', [(1, 1), (1, 2000), (2000, 1), (3, 700)])
def test_images_of_any_size_are_judged(size: tuple[int, int]) -> None:
    assert why_few_features(np.full(size, 100, np.uint8)) is Reason.NO_TEXTURE
