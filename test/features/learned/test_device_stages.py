"""The benchmark of the device prints a table that adds up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize('matcher', ['lightglue', 'nearest_neighbour'])
def test_the_table_has_a_row_for_every_combination(repository: Path, matcher: str) -> None:
    command = (
        f'--seeded --device cpu --threads 1 --front-ends xfeat aliked --sizes 96x64 --keypoints 32 '
        f'--candidates 1 2 --repeats 1 --matchers {matcher}'
    )
    script = repository / 'benchmarks' / 'device_stages.py'
    result = subprocess.run(
        [sys.executable, str(script), *command.split()], capture_output=True, text=True, check=True
    )
    rows = [line.strip('| ').split(' | ') for line in result.stdout.splitlines() if '96x64' in line]
    assert [row[0] for row in rows] == ['xfeat', 'xfeat', 'aliked', 'aliked']
    for row in rows:
        stages = [float(cell) for cell in row[5:-2]]
        assert len(stages) == 6
        assert float(row[-2]) == pytest.approx(sum(stages), abs=0.1)


def test_missing_weights_are_said_and_fail(repository: Path, tmp_path: Path) -> None:
    script = repository / 'benchmarks' / 'device_stages.py'
    result = subprocess.run(
        [sys.executable, str(script), '--device', 'cpu', '--front-ends', 'disk'],
        capture_output=True,
        text=True,
        check=False,
        env={'HLOC_LOCALIZER_WEIGHTS': str(tmp_path), 'PATH': ''},
    )
    assert result.returncode == 1
    assert "disk, lightglue: weights 'depth-save.pth'" in result.stderr
