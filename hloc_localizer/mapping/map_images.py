"""The images of a map that exists, as building knows them: stamps, features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import MapError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.maps import Map
from hloc_localizer.maps.hloc_files import FEATURES_NAME, each_features

_UNSTAMPED_STEP_NS = 200_000_000
_LONGEST_STAMP = 19


def stamps_of(names: Sequence[str]) -> NDArray[np.int64]:
    """
    Return the capture times (I,) of images, nanoseconds, from their names.

    Images of recordings are named by them. Of others the order is all that is known; they count as
    five a second.
    """
    stems = [PurePosixPath(name).stem for name in names]
    if all(stem.isascii() and stem.isdigit() and len(stem) <= _LONGEST_STAMP for stem in stems):
        stamps = [int(stem) for stem in stems]
        if max(stamps) < 1 << 63:
            return np.array(stamps, np.int64)
    order = np.argsort(np.argsort(np.array(names)))
    return np.asarray(order * _UNSTAMPED_STEP_NS, np.int64)


def features_of(loaded: Map) -> list[LocalFeatures]:
    """Read the features of all images of a map, as :func:`each_features_of`, into memory."""
    return list(each_features_of(loaded))


def each_features_of(loaded: Map) -> Iterator[LocalFeatures]:
    """
    Read the features of all images of a map, in their order, one after the other.

    :raises MapError: when the map has none.
    """
    if FEATURES_NAME not in loaded.manifest.files:
        raise MapError(
            f'{loaded.path}: has no {FEATURES_NAME}, which this needs; copy the whole map folder '
            'from where it was built'
        )
    return each_features(loaded.path / FEATURES_NAME, loaded.runtime.image_names)
