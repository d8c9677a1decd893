"""What was learned about a map is stored in its manifest without touching anything else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from synthetic_map import make_manifest, make_runtime

from hloc_localizer.errors import MapError
from hloc_localizer.maps import verify_map, write_map
from hloc_localizer.maps.calibration import Calibration, SuccessModel
from hloc_localizer.maps.manifest import read_manifest
from hloc_localizer.maps.store import replace_manifest

LEARNED = Calibration(
    sigma_scale=1.66,
    position_floor_m=0.0048,
    rotation_floor_deg=0.05,
    frames=220,
    mean_nees=4.1,
    source='walk',
    success=SuccessModel({'log_inliers': 2.5, 'spread': -0.5}, -11.0),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runtime = make_runtime()
    write_map(tmp_path / 'map', make_manifest(runtime), runtime)
    return tmp_path / 'map'


@pytest.mark.parametrize('learned', [LEARNED, dataclasses.replace(LEARNED, success=None)])
def test_calibration_is_read_as_it_was_written(folder: Path, learned: Calibration) -> None:
    before = read_manifest(folder)
    assert before.calibration is None
    replace_manifest(folder, dataclasses.replace(before, calibration=learned))
    after = read_manifest(folder)
    assert after.calibration == learned
    assert dataclasses.replace(after, calibration=None) == before
    assert verify_map(folder).ok
    assert [path.name for path in folder.parent.iterdir()] == ['map']


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('sigma_scale: -1.0', "'calibration.sigma_scale' is -1.0, not above 0"),
        ('sigma_scale: .nan', "'nan' in 'calibration' is not a number"),
        ('sigma_scale: 1.0e+9', "'calibration.sigma_scale' is 1000000000.0, not above 0"),
        ('sigma_scale: wide', "'wide' in 'calibration' is not a number"),
    ],
)
def test_damaged_calibration_is_refused(folder: Path, text: str, complaint: str) -> None:
    manifest = dataclasses.replace(read_manifest(folder), calibration=LEARNED)
    replace_manifest(folder, manifest)
    path = folder / 'map.yaml'
    path.write_text(path.read_text().replace('sigma_scale: 1.66', text))
    with pytest.raises(MapError, match=complaint):
        read_manifest(folder)
