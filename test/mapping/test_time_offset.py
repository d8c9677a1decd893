"""Clocks of images and odometry that differ: measured, corrected, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.mapping.time_offset import estimate_time_offset, synchronised
from hloc_localizer.progress import SilentProgress
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.bag import BagSource
from hloc_localizer.sources.joined import JoinedSource

SECOND = 1_000_000_000


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def lounge(shared_data: Path, bag: str = 'query', **values: Any) -> BagSource:
    source = open_source(shared_data / 'data/lounge' / bag, SourceOptions(**values))
    assert isinstance(source, BagSource)
    return source


@pytest.mark.parametrize('late_s', [-0.35, 0.0, 0.5])
def test_an_offset_is_measured(shared_data: Path, late_s: float) -> None:
    found = estimate_time_offset(lounge(shared_data).shifted(round(late_s * SECOND)))
    assert found is not None
    assert found.pairs >= 40
    assert found.offset_ns / SECOND == pytest.approx(-late_s, abs=0.015)
    assert found.significant == (late_s != 0.0)
    assert not found.hopeless
    assert found.unexplained_deg < 1.5 < found.turned_deg


def test_a_late_odometry_is_corrected_and_told(shared_data: Path) -> None:
    true = lounge(shared_data)
    notes = Notes()
    corrected = synchronised(JoinedSource({'query': true.shifted(SECOND // 5)}), notes)
    assert len(notes.lines) == 1
    assert 'the clock of the poses is -0.20 s from that of the images; corrected' in notes.lines[0]
    assert float(corrected.description['clock_offset_s']) == pytest.approx(0.0, abs=0.015)
    stamp = 1_700_000_010 * SECOND
    part = corrected.sessions['query']  # type: ignore[attr-defined]
    np.testing.assert_allclose(
        part.motion_at('camera_optical_frame', stamp),
        true.motion_at('camera_optical_frame', stamp),
        atol=0.03,
    )


def test_odometry_of_another_time_is_refused(shared_data: Path) -> None:
    late = lounge(shared_data, 'map', duration_s=30.0).shifted(2 * SECOND)
    with pytest.raises(InputError, match='images and poses do not turn together') as told:
        synchronised(late, SilentProgress())
    assert '--set source.odom_topic=none' in str(told.value)
    assert '\n' not in str(told.value)


def test_recordings_that_cannot_tell_are_taken_as_they_are(shared_data: Path) -> None:
    trusted = lounge(shared_data, clock='trusted').shifted(SECOND // 2)
    assert synchronised(trusted, SilentProgress()) is trusted
    still = lounge(shared_data, duration_s=2.0)
    assert estimate_time_offset(still) is None
    assert synchronised(still, SilentProgress()) is still
    images = lounge(shared_data, odom_topic='none')
    assert synchronised(images, SilentProgress()) is images
    video = open_source(shared_data / 'data/lounge/walk.mp4')
    assert synchronised(video, SilentProgress()) is video
