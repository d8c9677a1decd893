"""Matches in hloc's files, by the new and the old naming of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError

_MOST_MATCHES = 1 << 20


def read_all_matches(
    paths: Sequence[Path], names: Sequence[str], features: Mapping[str, Sized]
) -> dict[tuple[int, int], NDArray[np.int32]]:
    """
    Return the matches (M, 2) between images, the smaller index first, from hloc's files.

    A pair is the group ``first/second``, slashes in names written as dashes; before 2022 hloc wrote
    ``first_second``. Pairs with other images, as of queries, are passed over.

    :param features: by image name; matches must be within their number.
    :raises InputError: when a file is damaged, or its matches are of other features.
    """
    dashed = {name.replace('/', '-'): index for index, name in enumerate(names)}
    if len(dashed) < len(names):
        raise InputError(f'{paths[0]}: image names differ only in / and -, so pairs are ambiguous')
    found: dict[tuple[int, int], NDArray[np.int32]] = {}
    for path in paths:
        try:
            with h5py.File(path, 'r') as file:
                for key, pair in _pairs(file, dashed):
                    matches = _matches(path, file, key)
                    _check(path, key, matches, [len(features[names[index]]) for index in pair])
                    if pair[0] > pair[1]:
                        pair, matches = pair[::-1], matches[:, ::-1].copy()
                    if len(matches) and pair[0] != pair[1]:
                        found.setdefault(pair, matches)
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(f'{path}: not a readable HDF5 file; copy or match again') from error
    return found


def _pairs(file: h5py.File, dashed: Mapping[str, int]) -> list[tuple[str, tuple[int, int]]]:
    """Return the groups of pairs between known images."""
    pairs = []
    for key in file:
        group = file.get(key)
        if not isinstance(group, h5py.Group):
            continue
        if key in dashed:
            pairs += [(f'{key}/{o}', (dashed[key], dashed[o])) for o in group if o in dashed]
        pairs += [(key, pair) for pair in _old_pair(key, dashed)]
    return pairs


def _old_pair(key: str, dashed: Mapping[str, int]) -> list[tuple[int, int]]:
    """Split ``first_second``; names may hold underscores themselves."""
    parts = key.split('_')
    for count in range(1, len(parts)):
        first, second = '_'.join(parts[:count]), '_'.join(parts[count:])
        if first in dashed and second in dashed:
            return [(dashed[first], dashed[second])]
    return []


def _matches(path: Path, file: h5py.File, key: str) -> NDArray[np.int32]:
    dataset: Any = file.get(f'{key}/matches0')
    if (
        not isinstance(dataset, h5py.Dataset)
        or dataset.ndim != 1
        or dataset.dtype.kind not in 'iu'
        or dataset.size > _MOST_MATCHES
    ):
        raise InputError(f"{path}: pair '{key}' has no valid list 'matches0'; match again")
    partner = dataset[()].astype(np.int32)
    matched = np.flatnonzero(partner >= 0).astype(np.int32)
    return np.stack([matched, partner[matched]], axis=1)


def _check(path: Path, key: str, matches: NDArray[np.int32], counts: Sequence[int]) -> None:
    if len(matches) and np.any(matches.max(axis=0) >= counts):
        raise InputError(
            f"{path}: pair '{key}' matches keypoints that are not there: the matches are of other "
            'features'
        )
