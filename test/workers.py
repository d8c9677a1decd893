"""The processes of one test run: the folder they share, and tests that none may disturb."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

_FOLDER = 'HLOC_LOCALIZER_TEST_FOLDER'


def configure(config: pytest.Config) -> None:
    """Make the folder in the process that starts the others (``pytest -n``); use it in those."""
    config.addinivalue_line('markers', 'alone: asserts times, so no other test runs meanwhile')
    if hasattr(config, 'workerinput'):
        config.pluginmanager.register(_TakingTurns(Path(os.environ[_FOLDER])))
    elif config.getoption('numprocesses', None):
        folder = tempfile.TemporaryDirectory(prefix='hloc_localizer_tests_')
        config.add_cleanup(folder.cleanup)
        os.environ[_FOLDER] = folder.name


def shared_folder(config: pytest.Config) -> Path | None:
    """Return the folder that the processes of this run share; None when there is only this one."""
    return Path(os.environ[_FOLDER]) if hasattr(config, 'workerinput') else None


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock, among all processes, on a file that is made for it."""
    with path.open('a') as file:
        fcntl.flock(file, how)
        yield


class _TakingTurns:
    """Lets tests that are marked ``alone`` wait until no other one runs, and run alone then."""

    def __init__(self, folder: Path) -> None:
        self._gate, self._running = folder / 'gate.lock', folder / 'running.lock'

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if item.get_closest_marker('alone'):
            # Whoever waits holds the gate, or the others would never all be done.
            with locked(self._gate), locked(self._running):
                return (yield)
        with ExitStack() as running:
            with locked(self._gate):
                running.enter_context(locked(self._running, fcntl.LOCK_SH))
            return (yield)
