"""The benchmarks judge by the targets of what was measured, and print rows that can be copied."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.foreign_load import ForeignLoad
from benchmarks.targets import comparison, rows, table


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
