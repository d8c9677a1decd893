"""Nodes as processes of their own that never outlive the demonstration."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hloc_localizer.errors import HlocLocalizerError

_END_TIMEOUT_S = 5.0
_POLL_S = 0.2
_ROOT = Path(__file__).resolve().parents[2]
_PREFIX = re.compile(r'^\[(INFO|WARN|ERROR|FATAL)\] \[[0-9.]+\] \[[^\]]+\]: ')


@contextlib.contextmanager
def running(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run ``python -m module`` with its output in a file; it is ended on leaving the context.

    It gets a session of its own: Ctrl-C reaches it through this context, after its listeners.
    """
    with log.open('wb') as file:
        process = subprocess.Popen(
            [sys.executable, '-m', module, *arguments],
            env=_with_this_package(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def wait_for(process: subprocess.Popen[bytes], log: Path, what: str) -> None:
    """
    Wait for a process to end well.

    :raises HlocLocalizerError: with the last line of its log when it does not.
    """
    while True:
        try:
            status = process.wait(_POLL_S)
            break
        except subprocess.TimeoutExpired:
            continue
    if status:
        raise failure(what, log)


def wait_beside(
    process: subprocess.Popen[bytes],
    log: Path,
    what: str,
    other: subprocess.Popen[bytes],
    other_log: Path,
    other_what: str,
) -> None:
    """Wait for a process to end well while another must not end at all."""
    while process.poll() is None:
        if other.poll() is not None:
            raise failure(other_what, other_log)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
    if process.returncode:
        raise failure(what, log)


def follow(
    process: subprocess.Popen[bytes], log: Path, what: str, say: Callable[[str], None]
) -> None:
    """Wait for a process to end well and repeat the lines that it logs."""
    with log.open(encoding='utf-8', errors='replace') as lines:
        ended = False
        while not ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
                ended = True
            for line in lines:
                say(plain(line))
    if process.returncode:
        raise failure(what, log)


def failure(what: str, log: Path) -> HlocLocalizerError:
    """Return the error for a process that ended badly, with the reason that it gave."""
    lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(('[ERROR]', '[FATAL]', 'error:'))]
    reason = plain((errors or lines or ['it said nothing'])[-1])
    return HlocLocalizerError(f'{what} ended early: {reason} (log: {log})')


def plain(line: str) -> str:
    """Return a line of a ROS log without severity, time and name."""
    return _PREFIX.sub('', line).rstrip()


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_TIMEOUT_S)


def _with_this_package(environment: Mapping[str, str]) -> dict[str, str]:
    paths = [str(_ROOT), *filter(None, [environment.get('PYTHONPATH')])]
    return {**environment, 'PYTHONPATH': os.pathsep.join(paths), 'PYTHONUNBUFFERED': '1'}
