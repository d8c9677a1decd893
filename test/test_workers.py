"""Tests that assert times run alone, the others beside each other; both kinds get their turn."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest_plugins = ['pytester']
pytest.importorskip('xdist', reason='needs pytest-xdist')

_SUITE = """
import os, time
from pathlib import Path
import pytest

LOG = Path(__file__).parent / 'log'

def say(word, number):
    with LOG.open('a') as log:
        log.write(f'{word} {number}\\n')

def run(number):
    say('begin', number)
    time.sleep(0.05)
    say('end', number)

@pytest.mark.parametrize('number', range(START, START + 12))
def test_beside_others(number):
    run(number)

@pytest.mark.alone
def test_alone():
    run(ALONE)
"""


def test_a_test_that_is_marked_runs_alone(pytester: pytest.Pytester) -> None:
    folder = pytester.path
    here = Path(__file__).parent
    (folder / 'conftest.py').write_text(
        f'import sys\nsys.path.insert(0, {str(here)!r})\nimport workers\n'
        'def pytest_configure(config):\n    workers.configure(config)\n'
    )
    for name, alone in (('one', 100), ('two', 200)):
        text = _SUITE.replace('START', str(alone + 1)).replace('ALONE', str(alone))
        (folder / f'test_{name}.py').write_text(text)
    ran = pytester.run(
        sys.executable, '-m', 'pytest', '-q', '-n', '2', '--dist', 'loadfile', timeout=60
    )
    assert ran.ret == 0
    log = [line.split() for line in (folder / 'log').read_text().splitlines()]
    assert len(log) == 2 * 26
    running: set[int] = set()
    together = 0
    for word, number in ((word, int(number)) for word, number in log):
        if word == 'end':
            running.remove(number)
            continue
        assert not running & {100, 200}
        assert not (running and number in (100, 200))
        running.add(number)
        together = max(together, len(running))
    assert together == 2
