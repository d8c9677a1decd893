"""The benchmarks judge by the targets of what was measured, and print rows that can be copied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.damaged_jpeg import damage_all, judge_whole, table_by, time_decoding
from benchmarks.foreign_load import ForeignLoad
from benchmarks.targets import Row, between, comparison, finish, rows, table
from hloc_localizer.sources import Frame


def measured(front_end: str, matcher: str, latency_ms: float) -> dict[str, Any]:
    """Return numbers as the lounge benchmark writes them."""
    numbers = {
        'recall': {'0.05m_5deg': 0.99, '0.10m_2deg': 1.0, '0.25m_2deg': 0.6},
        'translation_error_m': {'median': 0.011},
        'rotation_error_deg': {'median': 0.21},
        'false_fixes': 0,
        'latency_ms': {'median': latency_ms, 'stages': {'extract': latency_ms}},
        'nees': {'pose': None},
    }
    return {
        'front_end': front_end, 'matcher': matcher, 'build_s': 100.0, 'load_s': 0.1,
        'map_bytes': 11e6, 'query': numbers, 'revisit': numbers, 'imported': numbers,
    }  # fmt: skip


@pytest.mark.parametrize(
    ('front_end', 'matcher', 'latency_ms', 'missed'),
    [
        ('sift', 'nearest_neighbour', 79.0, ['lounge: build of `map` [s]']),
        ('xfeat', 'lightglue', 290.0, []),
        ('xfeat', 'nearest_neighbour', 69.0, []),
        ('xfeat', 'nearest_neighbour', 71.0,
         ['`query`: median latency [ms]', '`revisit`: median latency [ms]']),
    ],
)  # fmt: skip
def test_each_kind_of_front_end_has_its_targets(
    front_end: str, matcher: str, latency_ms: float, missed: list[str]
) -> None:
    found = list(rows(measured(front_end, matcher, latency_ms)))
    assert [row.what for row in found if row.reached is False] == missed
    assert len(table(found).splitlines()) == len(found) + 4


def test_the_row_for_the_page_holds_the_numbers() -> None:
    heading, _, row = comparison(measured('xfeat', 'lightglue', 250.4)).strip().splitlines()
    assert len(heading.split('|')) == len(row.split('|'))
    for text in ('xfeat, lightglue', '99.0 %', '1.10 cm, 0.21 deg', '250 / 250 ms', '11.0 MB'):
        assert text in row


@pytest.mark.parametrize(('reached', 'status'), [(True, 0), (None, 0), (False, 1)])
def test_a_benchmark_ends_with_its_tables_its_numbers_and_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reached: bool | None, status: int
) -> None:
    found, numbers = [Row('a', '', '1', True), Row('b', '', '2', reached)], {'a': 1, 'b': 2}
    assert finish(found, '| more |', measured=numbers, output=tmp_path / 'all.json') == status
    assert capsys.readouterr().out == f'{table(found)}\n| more |\n'
    assert json.loads((tmp_path / 'all.json').read_text(encoding='utf-8')) == numbers


@pytest.mark.parametrize(
    ('value', 'reached'), [(3.9, False), (4.0, True), (9.0, True), (9.1, False)]
)
def test_a_number_is_between_its_limits(value: float, reached: bool) -> None:
    assert between('a', value, (4, 9)) == Row('a', '4 to 9', f'{value:.1f}', reached)
    assert between('a', value, None).reached is None


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [(['nothing'], "benchmark 'nothing' is not known"),
     (['lounge', '--data', 'absent'], 'there is no such folder; give --data DIR')],
)  # fmt: skip
def test_mistakes_are_one_line(repository: Path, arguments: list[str], expected: str) -> None:
    command = [sys.executable, '-m', 'benchmarks', *arguments]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_package_that_is_not_there_is_one_line(repository: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from benchmarks.__main__ import main; "
        "sys.exit(main(['device']))"
    )
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == "benchmark 'device' needs torch, which is not installed\n"


def test_an_image_without_a_pose_counts_after_the_first_one_and_is_not_false() -> None:
    pytest.importorskip('rclpy', reason='needs ROS 2')
    from benchmarks.node import Played

    metres = np.array([np.inf, 0.01, np.inf, 0.2, 0.7])
    degrees = np.array([np.inf, 1.0, np.inf, 1.0, 1.0])
    played = Played(metres, degrees, np.ones(3), 5, np.ones(5), 0.0, 0.0)
    assert played.share(0.25, 2.0) == pytest.approx(40.0)
    assert played.share(0.25, 2.0, from_first=True) == pytest.approx(50.0)
    assert played.false == 1


def test_what_other_processes_took_of_the_cores_is_all_but_ones_own() -> None:
    all_of_it, but_mine = ForeignLoad([]), ForeignLoad([os.getpid()])
    begin, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.3:
        pass
    everything, others = all_of_it.share(), but_mine.share()
    core_seconds = (time.monotonic() - begin) * (os.cpu_count() or 1)
    assert (everything - others) * core_seconds == pytest.approx(0.3, abs=0.1)
    assert -0.1 < others < 1.1


def test_damaged_pictures_are_told_from_whole_ones(lounge_frames: list[Frame]) -> None:
    outcomes, passed = damage_all(lounge_frames[:3], count=3, seed=1)
    assert damage_all(lounge_frames[:3], count=3, seed=1)[0] == outcomes
    damaged = [one for one in outcomes if not one.same]
    assert len(damaged) >= 0.9 * len(outcomes)  # bits may change what nobody sees
    warned = [one for one in damaged if one.warned and 'restart' not in one.kind]
    assert len(warned) >= 0.5 * len(outcomes) * 0.8
    assert sum(one.refused for one in warned) >= 0.95 * len(warned)  # or it looks like filling
    assert 0 < len(passed) == sum(not one.refused for one in damaged)
    heading, _, *lines = table_by('damage', outcomes).strip().splitlines()
    assert len(lines) == 5
    assert all(len(line.split('|')) == len(heading.split('|')) for line in lines)
    assert sum(int(line.split('|')[5]) for line in lines) == len(damaged) - len(passed)


def test_whole_pictures_of_every_kind_pass_and_are_timed(lounge_frames: list[Frame]) -> None:
    image = np.ascontiguousarray(lounge_frames[0].image[:121, :203])
    counts = judge_whole([image])
    assert counts.pop('pictures') >= 8
    assert counts == {'refused': 0, 'other_pixels': 0}
    for name, times in time_decoding([image], rounds=3).items():
        assert name.startswith('203x121, ')
        assert 0.0 < times.opencv < 100.0
        assert 0.0 < times.ours < 100.0
