"""Fixtures of the node tests: the localizer as a process, and the lounge map it localizes in."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import environment
from hloc_localizer.sources import Frame, open_source


@pytest.fixture(scope='module')
def module_environment() -> Iterator[dict[str, str]]:
    """Yield variables of a ROS domain that all tests of one file share."""
    with environment.isolated() as variables:
        yield variables
        gc.collect()  # nodes and contexts in cycles leave the domain only then


@pytest.fixture(scope='module')
def frame_and_camera(shared_data: Path) -> tuple[Frame, Camera]:
    """Return an image of the lounge that its map does not hold, and its calibration."""
    source = open_source(shared_data / 'data' / 'lounge' / 'query')
    frame = next(iter(source.frames()))
    return frame, source.cameras[frame.camera_name]
