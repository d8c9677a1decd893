"""The options of sources."""

from __future__ import annotations

import dataclasses

from hloc_localizer.sources import SourceOptions


def test_every_option_has_a_description() -> None:
    for leaf in SourceOptions().leaves():
        assert leaf.description.endswith('.')
    assert dataclasses.is_dataclass(SourceOptions)
