"""Of several maps the one that explains images clearly better is chosen, or none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hloc_localizer.localization import Localizer
from hloc_localizer.localization.map_choice import MapChoice
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.maps import Map
from hloc_localizer.sources import Frame, open_source


@pytest.fixture(scope='module')
def right(lounge_map: Path) -> Localizer:
    return Localizer(Map.load(lounge_map))


@pytest.fixture(scope='module')
def twin(lounge_map: Path) -> Localizer:
    return Localizer(Map.load(lounge_map))


@pytest.fixture(scope='module')
def other(lounge_map: Path) -> Localizer:
    """Return a map in which nothing is where it looks to be."""
    loaded = Map.load(lounge_map)
    order = np.random.default_rng(0).permutation(len(loaded.runtime.descriptors))
    runtime = dataclasses.replace(loaded.runtime, descriptors=loaded.runtime.descriptors[order])
    return Localizer(dataclasses.replace(loaded, runtime=runtime))


@pytest.fixture(scope='module')
def alike(lounge_map: Path) -> Localizer:
    """Return a map of which three quarters look different."""
    loaded = Map.load(lounge_map)
    random = np.random.default_rng(0)
    descriptors = np.array(loaded.runtime.descriptors)
    changed = np.flatnonzero(random.random(len(descriptors)) < 0.75)
    descriptors[changed] = descriptors[random.permutation(changed)]
    runtime = dataclasses.replace(loaded.runtime, descriptors=descriptors)
    return Localizer(dataclasses.replace(loaded, runtime=runtime))


@pytest.fixture(scope='module')
def frames(shared_data: Path) -> list[Frame]:
    return list(open_source(shared_data / 'data' / 'lounge' / 'query').frames())[:2]


def _verdicts(
    localizers: list[Localizer], present: int, frames: list[Frame], right: Localizer
) -> list[tuple[int | None, bool]]:
    """Return for each image the map to change to, and whether the pose is in doubt."""
    camera = right.map.runtime.cameras[0]
    choice, found = MapChoice(localizers, present), []
    for frame in frames:
        localization = localizers[present].localize(frame.image, camera)
        verdict = choice.look(
            [MountedImage(frame.image, camera)], localization, has_pose=localization.localized
        )
        found.append((verdict.change_to, bool(verdict.doubt)))
    return found


def test_a_map_that_alone_explains_an_image_is_believed_at_once(
    right: Localizer, other: Localizer, frames: list[Frame]
) -> None:
    assert _verdicts([other, right], 1, frames[:1], right) == [(None, False)]


def test_twins_are_told_apart_by_nothing(
    right: Localizer, twin: Localizer, frames: list[Frame]
) -> None:
    assert _verdicts([right, twin], 0, frames * 2, right) == [(None, True)] * 4


def test_of_alike_maps_the_one_that_explains_more_is_believed_after_a_second_image(
    right: Localizer, alike: Localizer, frames: list[Frame]
) -> None:
    camera = right.map.runtime.cameras[0]
    assert alike.localize(frames[0].image, camera).localized
    assert _verdicts([right, alike], 0, frames, right) == [(None, True), (None, False)]


def test_a_wrong_map_that_accepts_images_too_is_left(
    right: Localizer, alike: Localizer, frames: list[Frame]
) -> None:
    assert _verdicts([alike, right], 0, frames, right) == [(None, True), (1, True)]


def test_a_persons_word_settles_it(right: Localizer, twin: Localizer, frames: list[Frame]) -> None:
    camera = right.map.runtime.cameras[0]
    choice = MapChoice([right, twin])
    choice.settle()
    found = right.localize(frames[0].image, camera)
    seen = [MountedImage(frames[0].image, camera)]
    assert choice.look(seen, found, has_pose=True).doubt == ''
    noise = np.random.default_rng(0).integers(0, 255, frames[0].image.shape, np.uint8)
    nothing = right.localize(noise, camera)
    assert not nothing.localized
    for _ in range(2):  # lost: it is asked anew
        choice.look([MountedImage(noise, camera)], nothing, has_pose=False)
    assert choice.look(seen, found, has_pose=True).doubt != ''
