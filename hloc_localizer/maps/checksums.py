"""Size and SHA-256 of files, and the files of a map folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hloc_localizer.maps.manifest import MANIFEST_NAME, FileRecord

_CHUNK = 1 << 20


def file_record(path: Path) -> FileRecord:
    """Hash one file, read in chunks."""
    digest = hashlib.sha256()
    size = 0
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileRecord(size=size, sha256=digest.hexdigest())


def relative_files(folder: Path) -> list[str]:
    """
    Return the files below a map folder but its manifest, sorted, with forward slashes.

    Links are listed as files and never followed.
    """
    names = []
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in (*files, *links):
            names.append((Path(parent) / name).relative_to(folder).as_posix())
    return sorted(name for name in names if name != MANIFEST_NAME)
