"""A map as a user names it: a map folder, or an hloc output folder that is taken over first."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hloc_localizer.errors import InputError
from hloc_localizer.maps.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from hloc_localizer.maps import Map

_LOG = logging.getLogger(__name__)


def open_map(path: Path) -> Map:
    """
    Load a map; an hloc output folder is imported once and kept beside the weights.

    :raises InputError: when it is neither, or may not be read, with what to do.
    """
    try:
        return _open(path)
    except OSError as error:
        raise InputError(f'{path}: cannot be read as a map: {error.strerror or error}') from error


def _open(path: Path) -> Map:
    from hloc_localizer.maps import Map
    from hloc_localizer.maps.hloc_layout import find_hloc_folder

    if (path / MANIFEST_NAME).is_file() or not _holds_model(path):
        return Map.load(path)
    folder = find_hloc_folder(path)
    files = [file.path for file in folder.features] + [file for file, _ in folder.global_features]
    for model in folder.models:
        files += sorted(file for file in model.iterdir() if file.is_file())
    imported = _cache() / _fingerprint(files)
    if not (imported / MANIFEST_NAME).is_file():
        _import(path, imported)
    _LOG.warning('%s is an hloc folder; using the map made of it, %s', path, imported)
    return Map.load(imported)


def _holds_model(path: Path) -> bool:
    """Tell whether this is a folder with a COLMAP model, without looking at all of its files."""
    from hloc_localizer.maps.hloc_layout import is_colmap_model

    if not path.is_dir():
        return False
    if is_colmap_model(path) and not any(path.glob('*.h5')):
        raise InputError(
            f'{path}: a COLMAP model without features; make a map of it with "hloc-localizer '
            'import colmap"'
        )
    return any(path.glob('*.h5'))


def _import(path: Path, imported: Path) -> None:
    from hloc_localizer.mapping.import_hloc import import_hloc

    try:
        imported.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'{imported.parent}: cannot be written ({error.strerror}); make a map of {path} with '
            '"hloc-localizer import hloc"'
        ) from error
    for note in import_hloc(path, imported).notes:
        _LOG.warning('%s', note)


def _cache() -> Path:
    from hloc_localizer.weights.store import weights_directory

    return weights_directory() / 'imported'


def _fingerprint(files: list[Path]) -> str:
    """Return a name for the state of files: other files, sizes or times give another one."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f'{os.path.realpath(file)} {status.st_size} {status.st_mtime_ns}\n'.encode())
    return digest.hexdigest()[:16]
