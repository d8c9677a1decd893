"""Real weights, and frames of the lounge with their recorded poses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import open_source
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.weights.store import DIRECTORY_VARIABLE


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Learned front ends are tested where torch and kornia are installed, on one thread."""
    torch = pytest.importorskip('torch')
    pytest.importorskip('kornia')
    torch.set_num_threads(1)


@pytest.fixture
def weights(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of real checkpoints, which is the weights directory from here on."""
    folder = shared_data / 'weights'
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope='session')
def lounge(shared_data: Path) -> tuple[Camera, Sequence[Frame]]:
    """Return the camera and every second of the first 12 frames."""
    source = open_source(shared_data / 'data' / 'lounge' / 'map', SourceOptions())
    frames = list(islice(source.frames(), 12))[::2]
    return source.cameras[frames[0].camera_name], frames
