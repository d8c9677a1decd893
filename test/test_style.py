"""The linters: ruff for style, mypy for types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    'arguments',
    [('ruff', 'check', '.'), ('ruff', 'format', '--check', '.'), ('mypy',)],
    ids=['ruff check', 'ruff format', 'mypy'],
)
def test_sources_are_clean(repository: Path, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, '-m', *arguments]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_sources_are_found(repository: Path) -> None:
    """The linters above did not look at an empty list."""
    command = [sys.executable, '-m', 'ruff', 'check', '--show-files', '.']
    files = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    listed = {Path(line).relative_to(repository) for line in files.stdout.splitlines()}
    for expected in (
        'hloc_localizer/options.py',
        'test/conftest.py',
        'tools/set_up.py',
        'setup.py',
    ):
        assert Path(expected) in listed
    assert not [file for file in listed if file.parts[0].startswith('.venv')]
