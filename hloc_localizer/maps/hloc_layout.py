"""An hloc output folder: which of its files are features, global features, matches and models."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from hloc_localizer.errors import InputError
from hloc_localizer.maps.hloc_confs import (
    LocalConf,
    conf_names,
    conf_of_file,
    global_of_file,
    local_conf,
)

ORIGIN_ATTRIBUTE = 'hloc_localizer'
"""Attribute of a features file that we wrote: JSON with what file names cannot say."""
_DEEPEST = 4
_MOST_FILES = 200000
_LONGEST_ORIGIN = 1 << 20


@dataclass(frozen=True)
class FeaturesFile:
    """A file of local features and how they were made."""

    path: Path
    conf: LocalConf | None
    """None where the file was exported by us; :attr:`origin` then says how it was made."""
    origin: Mapping[str, Any]
    """What :func:`read_origin` returned."""


@dataclass(frozen=True)
class HlocFolder:
    """What was found in an hloc output folder, sorted by path."""

    path: Path
    models: tuple[Path, ...]
    """Folders with a COLMAP model."""
    features: tuple[FeaturesFile, ...]
    global_features: tuple[tuple[Path, str], ...]
    """Files and the names of the descriptors in them; an unknown one keeps its file's name."""
    matches: tuple[Path, ...]


def is_colmap_model(path: Path) -> bool:
    """Tell whether a folder holds a COLMAP model, of three or five files, binary or text."""
    return any(
        all((path / f'{part}{suffix}').is_file() for part in ('cameras', 'images', 'points3D'))
        for suffix in ('.bin', '.txt')
    )


def find_hloc_folder(path: Path, conf: str = '') -> HlocFolder:
    """
    Look through an hloc output folder.

    :param conf: hloc's name of the configuration of the local features, where the name of the
        features file does not say it.
    :raises InputError: when it is no folder, or holds no model or no known local features.
    """
    if conf:
        local_conf(conf)
    if not path.is_dir():
        raise InputError(f'{path}: there is no such folder')
    models, files = [], []
    for folder, names in _walk(path):
        if is_colmap_model(folder):
            models.append(folder)
        files += [folder / name for name in sorted(names) if name.endswith('.h5')]
    if not models:
        raise InputError(
            f'{path}: holds no COLMAP model (cameras, images and points3D as .bin or .txt); give '
            "the folder of hloc's outputs"
        )
    global_features = tuple(
        (file, global_of_file(file.stem) or file.stem) for file in files if _is_global(file)
    )
    matches = tuple(file for file in files if _is_matches(file))
    rest = [file for file in files if not _is_global(file) and not _is_matches(file)]
    return HlocFolder(path, tuple(models), _features(path, rest, conf), global_features, matches)


def read_origin(path: Path) -> dict[str, Any]:
    """
    Return what we wrote into a features file when exporting; empty for a file of hloc's.

    :raises InputError: when the file is no HDF5 or the attribute is damaged.
    """
    try:
        with h5py.File(path, 'r') as file:
            text = file.attrs.get(ORIGIN_ATTRIBUTE)
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(f'{path}: not a readable HDF5 file; copy or extract it again') from error
    if text is None:
        return {}
    try:
        if not isinstance(text, str) or len(text) > _LONGEST_ORIGIN:
            raise ValueError('not a text')
        origin = json.loads(text)
        if not isinstance(origin, dict) or not isinstance(origin.get('front_end'), dict):
            raise ValueError('no front end')
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: attribute '{ORIGIN_ATTRIBUTE}' is damaged") from error
    return origin


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    seen = 0
    for folder, folders, names in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith('.')) if depth < _DEEPEST else []
        seen += len(names)
        if seen > _MOST_FILES:
            raise InputError(f'{root}: holds more than {_MOST_FILES} files; give the folder of '
                             "hloc's outputs alone")  # fmt: skip
        yield Path(folder), names


def _is_global(path: Path) -> bool:
    return path.stem.startswith('global-feat')


def _is_matches(path: Path) -> bool:
    return path.stem.startswith('matches') or '_matches-' in path.stem


def _features(root: Path, files: list[Path], conf: str) -> tuple[FeaturesFile, ...]:
    found = []
    for file in files:
        known = conf_of_file(file.stem)
        origin = read_origin(file)
        if origin and not conf:
            found.append(FeaturesFile(file, None, origin))
        elif conf and (known is None or known.name == conf):
            found.append(FeaturesFile(file, local_conf(conf), {}))
        elif known is not None and not conf:
            found.append(FeaturesFile(file, known, {}))
    if found:
        return tuple(found)
    if not files:
        raise InputError(f'{root}: holds no local features (feats-*.h5); extract them with hloc')
    names = ', '.join(file.name for file in files[:3])
    if conf:
        raise InputError(f"{root}: {names} are not features of '{conf}'")
    raise InputError(
        f'{root}: the names of {names} do not tell the configuration of the features; name one '
        f'with --conf: {", ".join(conf_names())}'
    )
