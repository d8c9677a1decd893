"""A focal length that is far off is told from the images alone."""

from __future__ import annotations

import dataclasses
import re

import pytest
from synthetic_scene import CAMERA, Scene, make_scene

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.calibration_check import check_focal_lengths


@pytest.fixture(scope='module')
def scene() -> Scene:
    return make_scene(images=12, points=250)


def with_focal(factor: float) -> Camera:
    fx, fy, *rest = CAMERA.params
    return dataclasses.replace(CAMERA, params=(factor * fx, factor * fy, *rest))


def check(scene: Scene, camera: Camera, *, refine: bool = False) -> None:
    matches = {pair: found for pair, found in scene.matches().items() if pair[1] - pair[0] >= 4}
    check_focal_lengths(scene.images, [camera], [refine], matches, seed=0, threads=1)


@pytest.mark.parametrize('factor', [1.3, 1.0 / 1.3])
def test_a_focal_length_that_is_off_is_refused_with_the_right_one(
    scene: Scene, factor: float
) -> None:
    with pytest.raises(InputError, match='the calibration does not fit the images') as told:
        check(scene, with_focal(factor))
    said, fit = map(float, re.findall(r'(\d+) px', str(told.value)))
    assert said == pytest.approx(factor * CAMERA.focal_px, abs=1.0)
    assert fit == pytest.approx(CAMERA.focal_px, rel=0.1)
    assert '\n' not in str(told.value)


@pytest.mark.parametrize('factor', [0.93, 1.0, 1.07])
def test_what_building_refines_by_itself_passes(scene: Scene, factor: float) -> None:
    check(scene, with_focal(factor))


def test_a_guess_is_not_checked(scene: Scene) -> None:
    check(scene, with_focal(2.0), refine=True)
