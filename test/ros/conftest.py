"""Fixtures of the node tests: the localizer as a process, and the lounge map it localizes in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hloc_localizer.ros import environment


@pytest.fixture(scope='module')
def module_environment() -> Iterator[dict[str, str]]:
    """Yield variables of a ROS domain that all tests of one file share."""
    with environment.isolated() as variables:
        yield variables
