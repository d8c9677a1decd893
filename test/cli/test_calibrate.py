"""``calibrate`` learns from a recording with known poses and stores that in the map."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hloc_localizer.cli import main
from hloc_localizer.maps import verify_map
from hloc_localizer.maps.manifest import read_manifest


def test_calibration_is_learned_from_the_images_of_the_map_itself(
    lounge_map: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'lounge'
    shutil.copytree(lounge_map, folder)
    lounge = shared_data / 'data' / 'lounge'
    # The bag without poses says what is missing, and changes nothing.
    assert main(['calibrate', str(folder), str(lounge / 'query')]) == 2
    assert '--ground-truth FILE.tum' in capsys.readouterr().err
    by_building = read_manifest(folder).calibration
    assert by_building is not None
    assert by_building.source == 'images of the map, held out'
    assert by_building.frames >= 50
    short = ['--set', 'source.duration_s=6', 'localizer.threads=1']
    assert main(['calibrate', str(folder), str(lounge / 'map'), *short]) == 0
    assert 'mean NEES' in capsys.readouterr().out
    learned = read_manifest(folder).calibration
    assert learned is not None
    assert learned.source == 'map'
    assert learned.frames >= 20
    assert 0.5 < learned.sigma_scale < 5.0
    assert learned.position_floor_m < 0.03
    assert 1.0 < learned.mean_nees < 8.0
    assert verify_map(folder).ok


def test_calibration_needs_more_than_a_few_images(
    lounge_map: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'lounge'
    shutil.copytree(lounge_map, folder)
    before = read_manifest(folder).calibration
    lounge = shared_data / 'data' / 'lounge'
    truth = ['--ground-truth', str(lounge / 'query.camera.tum')]
    short = ['--set', 'source.duration_s=1', 'localizer.threads=1']
    assert main(['calibrate', str(folder), str(lounge / 'query'), *truth, *short]) == 1
    assert 'images were localized, and 20 are needed' in capsys.readouterr().err
    assert read_manifest(folder).calibration == before
