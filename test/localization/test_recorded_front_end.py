"""The front end and global descriptor of a map are those that it records, or are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from synthetic_map import make_manifest
from twin_rooms import TwinRooms

from hloc_localizer.errors import InputError
from hloc_localizer.features.sift import Sift
from hloc_localizer.localization import Localizer, LocalizerOptions
from hloc_localizer.localization.recorded_front_end import (
    can_be_reduced,
    recorded_front_end,
    recorded_global_descriptor,
)
from hloc_localizer.maps import Component, Map


@pytest.fixture(scope='module')
def rooms() -> Map:
    runtime = TwinRooms().runtime()
    front_end = Component('sift', {'max_keypoints': 700})
    manifest = dataclasses.replace(make_manifest(runtime), front_end=front_end)
    return Map(Path('rooms'), manifest, runtime)


def test_the_front_end_has_the_parameters_of_the_map(rooms: Map) -> None:
    front_end = recorded_front_end(rooms, LocalizerOptions())
    assert isinstance(front_end, Sift)
    assert front_end.options.max_keypoints == 700
    assert can_be_reduced(front_end)
    quick = Localizer(rooms).quick_front_end(max_image_size=300)
    assert isinstance(quick, Sift)
    assert quick.options == dataclasses.replace(front_end.options, max_image_size=300)


def test_a_global_descriptor_of_another_length_is_refused(rooms: Map) -> None:
    stored = rooms.runtime.global_descriptors
    size = stored.shape[1]
    assert recorded_global_descriptor(rooms, LocalizerOptions()).size == size
    runtime = dataclasses.replace(rooms.runtime, global_descriptors=stored[:, :-1])
    other = dataclasses.replace(rooms, runtime=runtime)
    with pytest.raises(InputError) as caught:
        Localizer(other)
    assert str(caught.value) == (
        f'rooms: its images have global descriptors of {size - 1} numbers, '
        f"'vlad' here makes {size}; build the map again"
    )
