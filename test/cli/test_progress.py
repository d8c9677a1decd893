"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios

import pytest

from hloc_localizer.cli.progress import BarProgress, LineProgress, command_progress


def test_elsewhere_each_stage_is_one_line_with_its_time() -> None:
    stream = io.StringIO()
    with command_progress(stream) as progress:
        assert isinstance(progress, LineProgress)
        progress.stage('extract', 3)
        for _ in range(3):
            progress.advance()
        progress.note('2 images are blurred')
        progress.stage('refine')
    lines = stream.getvalue().splitlines()
    assert '2 images are blurred' in lines
    assert any(re.fullmatch(r'extract: 3, \d+\.\d s', line) for line in lines)
    assert any(re.fullmatch(r'refine: \d+\.\d s', line) for line in lines)
    assert '\r' not in stream.getvalue()


def test_on_a_terminal_there_is_a_bar() -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack('HHHH', 25, 100, 0, 0))
    with open(follower, 'w', encoding='utf-8') as stream:
        with command_progress(stream) as progress:
            assert isinstance(progress, BarProgress)
            progress.stage('extract', 4)
            progress.advance(4)
            progress.note('done early')
        stream.flush()
        shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert '4/4' in shown
    assert 'extract' in shown
    assert 'done early' in shown


def test_elsewhere_a_long_stage_says_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    stream = io.StringIO()
    with command_progress(stream) as progress:
        progress.stage('match', 400)
        for _ in range(3):
            now[0] += 11.0
            progress.advance(100)
    assert stream.getvalue().splitlines() == [
        'match: 100 of 400, about 33 s left',
        'match: 200 of 400, about 22 s left',
        'match: 300 of 400, about 11 s left',
        'match: 300, 33.0 s',
    ]


def test_on_a_terminal_a_stage_that_cannot_be_counted_shows_its_time() -> None:
    stream = io.StringIO()
    progress = BarProgress(stream)
    progress.stage('reconstruct')
    progress.close()
    assert stream.getvalue().strip().startswith('reconstruct: 00:00')
    assert 'it/s' not in stream.getvalue()
