"""Maps of hloc's on the command line: taken over, or localized in as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_commands import hloc_localizer, refused

from hloc_localizer.maps import Map, verify_map


@pytest.fixture(scope='module')
def hloc_folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the export of a map of the first seconds of the lounge."""
    folder = tmp_path_factory.mktemp('maps')
    lounge = shared_data / 'data' / 'lounge' / 'map'
    built = hloc_localizer(
        'build', lounge, '-o', folder / 'map', '--set', 'source.duration_s=6'
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    result = hloc_localizer('export', folder / 'map', '--format', 'hloc', '-o', folder / 'hloc')
    assert result.returncode == 0, result.stderr
    return folder / 'hloc'


def test_import_makes_a_whole_map_and_says_what_it_is(hloc_folder: Path, tmp_path: Path) -> None:
    result = hloc_localizer('import', 'hloc', hloc_folder, '--output', tmp_path / 'map')
    assert result.returncode == 0, result.stderr
    assert 'Traceback' not in result.stderr
    assert "front end 'sift', retrieval by 'vlad'" in result.stdout
    assert verify_map(tmp_path / 'map').ok
    source = Map.load(tmp_path / 'map').manifest.provenance.source
    assert source['kind'] == 'hloc'
    assert source['features'] == 'feats-sift.h5'
    assert '--overwrite' in refused('import', 'hloc', hloc_folder, '-o', tmp_path / 'map')


def test_evaluate_takes_an_hloc_folder_and_keeps_the_map_made_of_it(
    hloc_folder: Path, shared_data: Path, tmp_path: Path
) -> None:
    lounge = shared_data / 'data' / 'lounge'
    command = [
        sys.executable, '-m', 'hloc_localizer', 'evaluate', hloc_folder, lounge / 'query',
        '--ground-truth', lounge / 'query.camera.tum', '--json', tmp_path / 'report.json',
        '--set', 'source.duration_s=1.5',
    ]  # fmt: skip
    root = str(Path(__file__).parents[2])
    cache = str(tmp_path / 'cache')
    variables = {**os.environ, 'PYTHONPATH': root, 'HLOC_LOCALIZER_WEIGHTS': cache}
    for _ in range(2):
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, env=variables, timeout=120
        )
        assert result.returncode == 0, result.stderr
        assert 'is an hloc folder; using the map made of it' in result.stderr
    numbers = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
    assert numbers['localized'] >= 4
    assert numbers['translation_error_m']['median'] < 0.05
    assert len(list((tmp_path / 'cache' / 'imported').iterdir())) == 1


def test_mistakes_get_one_line_and_leave_nothing(hloc_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / 'map'
    assert 'there is no such folder' in refused('import', 'hloc', tmp_path / 'no', '-o', out)
    assert 'holds no COLMAP model' in refused('import', 'hloc', tmp_path, '-o', out)
    assert 'not a COLMAP model' in refused('import', 'colmap', tmp_path, '-o', out)
    line = refused('import', 'colmap', hloc_folder, '-o', out)
    assert 'no folder images/ beside the model' in line
    line = refused('import', 'hloc', hloc_folder, '-o', out, '--set', 'model=sparse')
    assert "has no model 'sparse'; it has sfm" in line
    line = refused('import', 'hloc', hloc_folder, '-o', out, '--set', 'conf=d2net')
    assert "'d2net' is not known; known: superpoint_aachen" in line
    line = refused('localize', hloc_folder / 'sfm', tmp_path, '-o', tmp_path / 'poses.tum')
    assert 'a COLMAP model without features' in line
    assert list(tmp_path.iterdir()) == []
    assert hloc_localizer('import').returncode == 2


@pytest.mark.parametrize('form', ['hloc', 'colmap'])
def test_options_of_both_forms_are_listed(form: str) -> None:
    result = hloc_localizer('import', form, '--help-options')
    assert result.returncode == 0
    assert 'metric = false' in result.stdout
    assert 'vlad.clusters = 64' in result.stdout
