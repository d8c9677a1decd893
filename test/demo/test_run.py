"""The demonstration from end to end, shortened; and what it says to wrong arguments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parents[2]


def demo(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'hloc_localizer', 'demo', *map(str, arguments)],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path[1:]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_robot_finds_itself_in_the_room_it_has_mapped(tmp_path):
    output = tmp_path / 'out'
    process = demo('--output', output, '--duration', 7)
    table, progress = process.communicate(timeout=400)
    assert process.returncode == 0, progress
    results = json.loads((output / 'results.json').read_text())
    assert results['images'] >= 30
    # How many images get their turn depends on the machine; what is answered must be right.
    answered = results['images'] - results['not_answered']
    assert answered >= 8
    assert results['localized'] >= 0.9 * answered
    assert results['false_fixes'] == 0
    assert results['translation_error_m']['median'] < 0.02
    assert results['rotation_error_deg']['median'] < 0.3
    assert results['tf_transforms'] > 50
    assert results['tf_error_m']['median'] < 0.05
    assert f'{results["localized"]}  (' in table
    assert cv2.imread(str(output / 'demo.png')).shape[1] > 1200

    again = demo('--output', output, '--seed', 2, '--keep')
    assert 'other recordings' in again.communicate(timeout=60)[1]
    assert again.returncode == 2


def test_ending_the_demo_ends_what_it_started(tmp_path):
    process = demo('--output', tmp_path / 'out', '--duration', 7)
    time.sleep(6.0)
    children = _descendants(process.pid)
    assert children
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == 'hloc-localizer: interrupted'
    assert 'Traceback' not in errors
    time.sleep(0.5)
    assert not [pid for pid in children if _alive(pid)]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--bag', 'nowhere'], '--query is missing'),
        (['--bag', 'nowhere', '--query', 'nowhere'], 'nowhere: does not exist'),
        (['--bag', '.', '--query', '.'], 'not a bag'),
        (['--seed', '-1'], '--seed -1: is negative'),
        (['--duration', 'nan'], 'is not from 0 to 10000 seconds'),
        (['--set', 'source.base=x'], "unknown option 'base'"),
        (['--ground-truth', 'x.tum'], 'give --bag and --query'),
        (['--output', '.'], 'is no output of a demo'),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(tmp_path, monkeypatch, arguments, message):
    (tmp_path / 'mine.txt').write_text('precious')
    monkeypatch.chdir(tmp_path)
    process = demo(*arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert output == ''
    assert [path.name for path in tmp_path.iterdir()] == ['mine.txt']


def _descendants(pid: int) -> list[int]:
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return [int(child) for child in children] + [
        grandchild for child in children for grandchild in _descendants(int(child))
    ]


def _alive(pid: int) -> bool:
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return False
    return state != 'Z'
