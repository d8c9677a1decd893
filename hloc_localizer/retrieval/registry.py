"""Global descriptors by name: what a map records and a localizer follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.retrieval.vlad import Vlad


class GlobalDescriptor(Protocol):
    """Describes an image by its local features."""

    def describe(self, features: LocalFeatures) -> NDArray[np.float32]:
        """Return a descriptor (G,) of unit length, or zeros for an image without features."""
        ...


def create_global_descriptor(name: str, arrays: Mapping[str, NDArray[Any]]) -> GlobalDescriptor:
    """
    Make a global descriptor.

    :param arrays: what it learned on the map, as the map stores it.
    :raises InputError: for an unknown name or missing arrays.
    """
    if name != Vlad.name:
        raise InputError(f"global descriptor '{name}' is not known; known: {Vlad.name}")
    missing = {'words', 'mean', 'projection'} - set(arrays)
    if missing:
        raise InputError(f'the map lacks the array {sorted(missing)[0]} of its global descriptor')
    return Vlad(arrays)
