"""Output files of commands: checked before the work, whole or absent after it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hloc_localizer.errors import InputError


def check_file_output(path: Path | None) -> None:
    """
    Tell before long work whether a file can be written.

    :raises InputError: when it is a folder, or its folder does not exist or is not writable.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError(f'{path}: is a folder; name a file')
    _check_parent(path)


def check_folder_output(path: Path | None) -> None:
    """
    Tell before long work whether files can be written into a folder, which is made if need be.

    :raises InputError: when it is a file, or the folder it is to be in does not exist.
    """
    if path is None:
        return
    if path.exists() and not path.is_dir():
        raise InputError(f'{path}: is not a folder; choose another output')
    _check_parent(path)


def check_new_output(path: Path) -> None:
    """Like :func:`check_file_output`, for an output that must not exist yet."""
    if path.exists() or path.is_symlink():
        raise InputError(f'{path}: already exists; remove it or choose another output')
    _check_parent(path)


def _check_parent(path: Path) -> None:
    parent = path.absolute().parent
    if not parent.is_dir():
        raise InputError(f'{parent}: there is no such folder; create it or choose another output')
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f'{parent}: may not be written to; choose another output')


@contextmanager
def whole_or_absent(path: Path) -> Iterator[Path]:
    """
    Give a path beside the target to write a file or folder to; it is renamed when all went well.

    Whatever lies there is removed when the work fails.
    """
    staging = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield staging
        staging.replace(path)
    finally:
        if staging.is_dir():
            shutil.rmtree(staging, ignore_errors=True)
        else:
            staging.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_or_absent(path) as staging:
        staging.write_text(text, encoding='utf-8')
