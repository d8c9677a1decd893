"""Global descriptors by name: what a map records and a localizer follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.retrieval.learned.options import LearnedDescriptorOptions
from hloc_localizer.retrieval.vlad import Vlad

LEARNED = ('netvlad', 'megaloc', 'eigenplaces')
"""Networks that describe the pixels of an image, with weights from files."""
CHECKSUM = 'weights_sha256'
"""Parameter of a map's global descriptor: which weights described its images."""


@dataclass(frozen=True)
class GlobalDescriptor:
    """Describes an image by its pixels, or by its local features where it has learned those."""

    name: str
    size: int
    """G."""
    describe: Callable[[NDArray[np.uint8], LocalFeatures | None], NDArray[np.float32]]
    """
    (image, features) to (G,) of unit length, or zeros for an image without features. Networks look
    at the image alone: for them the features may be None.
    """
    release: Callable[[], None] = lambda: None
    """Give the memory of a device back."""


def global_descriptor_names() -> tuple[str, ...]:
    """Return the names that :func:`create_global_descriptor` knows."""
    return (Vlad.name, *LEARNED)


def create_global_descriptor(
    name: str,
    arrays: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Any] | None = None,
    *,
    device: str = 'auto',
) -> GlobalDescriptor:
    """
    Make the global descriptor that a map records.

    :param arrays: what it learned on the map, as the map stores it.
    :param parameters: as the map records them.
    :param device: where a network runs.
    :raises InputError: for an unknown name, missing arrays, or missing or other weights.
    """
    if name in LEARNED:
        return _learned(name, dict(parameters or {}), device)
    if name != Vlad.name:
        known = ', '.join(global_descriptor_names())
        raise InputError(f"global descriptor '{name}' is not known; known: {known}")
    missing = {'words', 'mean', 'projection'} - set(arrays)
    if missing:
        raise InputError(f'the map lacks the array {sorted(missing)[0]} of its global descriptor')
    return of_features(Vlad(arrays))


def of_features(vlad: Vlad) -> GlobalDescriptor:
    """Return the descriptor that VLAD makes of local features."""

    def describe(_: NDArray[np.uint8], features: LocalFeatures | None) -> NDArray[np.float32]:
        if features is None:
            raise ValueError('VLAD describes local features')
        return vlad.describe(features)

    return GlobalDescriptor(vlad.name, vlad.size, describe)


def _learned(name: str, values: dict[str, Any], device: str) -> GlobalDescriptor:
    from hloc_localizer.weights.catalogue import find_checkpoint
    from hloc_localizer.weights.store import checksum

    recorded = values.pop(CHECKSUM, None)
    options = LearnedDescriptorOptions().with_values({**values, 'device': device})
    try:  # torch is imported here and nowhere before
        from hloc_localizer.retrieval.learned.describe import create_learned_descriptor
    except ModuleNotFoundError as error:
        raise InputError(
            f"global descriptor '{name}' needs {error.name}: install torch and kornia, or build "
            'the map with global_descriptor=vlad'
        ) from error
    found = create_learned_descriptor(name, options)
    checkpoint = find_checkpoint(name)
    if recorded is not None and checksum(checkpoint) != recorded:
        raise InputError(
            f"weights '{checkpoint.file_name}' are others than the map's images were described "
            f'with (SHA-256 {str(recorded)[:16]}...): copy those here, or build the map again'
        )
    return GlobalDescriptor(
        name, found.size, lambda image, _: found.describe_image(image), found.release
    )
