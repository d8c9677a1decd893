"""Fixtures for every test: where the recordings are, and a ROS of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import workers
from hypothesis import settings

from hloc_localizer.ros import environment
from hloc_localizer.sources.frame import Frame

ROOT = Path(__file__).resolve().parent.parent

cv2.setNumThreads(1)  # the suite's processes share few cores


settings.register_profile('busy machine', deadline=None)
settings.load_profile('busy machine')


def pytest_configure(config: pytest.Config) -> None:
    workers.configure(config)


@pytest.fixture(scope='session')
def repository() -> Path:
    """Return the root of the source tree."""
    return ROOT


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Return the folder with ``data/`` and ``weights/``; skip where it is absent."""
    folder = (ROOT / os.environ.get('HLOC_LOCALIZER_TEST_DATA', '../shared')).resolve()
    if not (folder / 'data').is_dir():
        pytest.skip(f'no recordings at {folder}; set HLOC_LOCALIZER_TEST_DATA')
    return folder


@pytest.fixture(scope='session')
def lounge_frames(shared_data: Path) -> list[Frame]:
    """Return the frames of the first 4 s of the lounge, with their poses."""
    from hloc_localizer.sources import open_source
    from hloc_localizer.sources.options import SourceOptions

    source = open_source(shared_data / 'data' / 'lounge' / 'map', SourceOptions(duration_s=4.0))
    return list(source.frames())


@pytest.fixture(scope='session')
def lounge_map(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Path:
    """Return the map of the lounge, built once for all tests; copy it before you change it."""
    folder = workers.shared_folder(pytestconfig)
    if folder is None:
        return _built_lounge_map(shared_data, tmp_path_factory.mktemp('maps') / 'lounge')
    output = folder / 'lounge'
    with workers.locked(folder / 'lounge.lock'):
        # A map appears when it is whole.
        return output if output.is_dir() else _built_lounge_map(shared_data, output)


def _built_lounge_map(shared_data: Path, output: Path) -> Path:
    from hloc_localizer.mapping import build_map
    from hloc_localizer.mapping.options import BuildOptions
    from hloc_localizer.progress import SilentProgress
    from hloc_localizer.sources import open_source

    options = BuildOptions()
    source = open_source(shared_data / 'data' / 'lounge' / 'map', options.source)
    build_map(source, output, options, SilentProgress())
    return output


@pytest.fixture
def ros_environment() -> Iterator[dict[str, str]]:
    """Yield variables for ROS processes that hear each other and nobody else."""
    with environment.isolated() as variables:
        yield variables
