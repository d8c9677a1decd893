"""Front ends by name: the right one, or one line that says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.features.registry import (
    create_front_end,
    front_end_names,
    front_end_options,
)
from hloc_localizer.features.sift import Sift


def test_sift_is_made_with_the_options_given() -> None:
    front_end = create_front_end('sift', {'max_keypoints': 300, 'match': {'max_ratio': 0.7}})
    assert isinstance(front_end, Sift)
    assert front_end.name == 'sift'
    assert front_end.options.max_keypoints == 300
    assert front_end.nearest.max_ratio == 0.7
    assert front_end.options.contrast_threshold == Sift().options.contrast_threshold


def test_every_name_has_options_that_are_right_by_default() -> None:
    assert front_end_names()[0] == 'sift'
    for name in front_end_names():
        front_end_options(name)().check()


def test_unknown_name_is_answered_with_those_known() -> None:
    with pytest.raises(InputError) as told:
        create_front_end('sfit')
    line = str(told.value)
    assert line.startswith("front end 'sfit' is not known; known: auto, sift")
    assert '\n' not in line


@pytest.mark.parametrize(
    ('values', 'line'),
    [
        ({'max_keypoint': 300}, "unknown option 'max_keypoint'; did you mean 'max_keypoints'?"),
        ({'max_keypoints': 5}, "option 'max_keypoints': 5 is below 100"),
        ({'max_keypoints': 'many'}, "option 'max_keypoints': 'many' is not of type int"),
        ({'match': {'max_ratio': 2.0}}, "option 'match.max_ratio': 2.0 is above 1.0"),
    ],
)
def test_wrong_option_is_named_in_one_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as told:
        create_front_end('sift', values)
    assert str(told.value) == line
