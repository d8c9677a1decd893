"""What a recording is known by: the files that it is read from, and a digest that follows them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hloc_localizer.sources.options import SourceOptions


def files_of_recording(path: Path, options: SourceOptions, *beside: Path) -> tuple[Path, ...]:
    """
    Return the files and folders that a source reads.

    :param path: the recording.
    :param beside: where it looks by itself, for a calibration beside the images for instance.
    """
    texts = (*options.camera_info_file.split(','), options.poses_file)
    named = [Path(text.strip()) for text in texts if text.strip()]
    return tuple(dict.fromkeys(one.expanduser().absolute() for one in (path, *named, *beside)))


def recording_digest(files: Sequence[Path]) -> str:
    """
    Return a digest that changes with any file: its place, its size, or the time of its last change.

    Contents are not read: a recording may be larger than what a minute reads.
    """
    digest = hashlib.sha256()
    for file in _walk(files):
        status = os.stat(file)
        digest.update(f'{file}\0{status.st_size}\0{status.st_mtime_ns}\n'.encode())
    return digest.hexdigest()


def _walk(files: Iterable[Path]) -> Iterator[Path]:
    for file in files:
        if file.is_dir():
            # Hidden ones are not the recording's: a map may be in the making beside its images.
            yield from sorted(
                below
                for below in file.rglob('[!.]*')
                if below.is_file()
                and not any(part.startswith('.') for part in below.relative_to(file).parts)
            )
        elif file.is_file():
            yield file
