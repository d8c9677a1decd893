"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
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
    with open(follower, 'w', encoding='utf-8') as stream, command_progress(stream) as progress:
        assert isinstance(progress, BarProgress)
        progress.stage('extract', 4)
        progress.advance(4)
        progress.note('done early')
    shown = b''
    with contextlib.suppress(OSError):  # the other side is closed
        while part := os.read(leader, 100_000):
            shown += part
    os.close(leader)
    assert b'4/4' in shown
    assert b'extract' in shown
    assert b'done early' in shown


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
        'match: 100 of 400, about 0:33 left',
        'match: 200 of 400, about 0:22 left',
        'match: 300 of 400, about 0:11 left',
        'match: 300, 33.0 s',
    ]


def test_with_a_plan_it_says_how_long_all_stages_will_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    stream = io.StringIO()
    with command_progress(stream) as progress:
        progress.plan([('extract', 1.0), ('match', 2.0), ('reconstruct', 3.0)])
        progress.stage('extract', 2)
        now[0] += 20.0
        progress.advance(2)
        progress.stage('match', 400)
        now[0] += 11.0
        progress.advance(100)
        now[0] += 29.0
        progress.advance(300)
        progress.stage('reconstruct')
        now[0] += 60.0
    assert stream.getvalue().splitlines() == [
        'extract: 2 of 2, in all about 1:40',
        'extract: 2, 20.0 s, in all about 1:40 left',
        'match: 100 of 400, about 0:33 left, in all about 1:35',
        'match: 400 of 400, in all about 1:00',
        'match: 400, 40.0 s, in all about 1:00 left',
        'reconstruct: 60.0 s',
    ]


def test_on_a_terminal_a_stage_that_cannot_be_counted_shows_its_time() -> None:
    stream = io.StringIO()
    progress = BarProgress(stream)
    progress.stage('reconstruct')
    progress.close()
    assert stream.getvalue().strip().startswith('reconstruct: 00:00')
    assert 'it/s' not in stream.getvalue()
