"""The front end and the global descriptor that a map records, made on this machine."""

from __future__ import annotations

from typing import Any

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.features.registry import create_front_end, front_end_options
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.maps.map import Map
from hloc_localizer.retrieval.registry import GlobalDescriptor, create_global_descriptor


def recorded_front_end(loaded: Map, options: LocalizerOptions, **changes: Any) -> FrontEnd:
    """
    Make the front end of a map.

    :param changes: of the parameters that the map records.
    :raises InputError: when it cannot be had on this machine.
    """
    recorded = loaded.manifest.front_end
    if 'device' in _parameters_of(recorded.name):
        changes = {'device': options.device, 'threads': options.threads, **changes}
    return create_front_end(recorded.name, {**recorded.parameters, **changes})


def can_be_reduced(front_end: FrontEnd) -> bool:
    """Whether another one for smaller images costs nothing: a network is not loaded twice."""
    known = _parameters_of(front_end.name)
    return 'device' not in known and 'max_image_size' in known


def recorded_global_descriptor(loaded: Map, options: LocalizerOptions) -> GlobalDescriptor:
    """
    Make the global descriptor of a map.

    :raises InputError: when its descriptors are not as long as those in the map.
    """
    recorded = loaded.manifest.global_descriptor
    descriptor = create_global_descriptor(
        recorded.name,
        loaded.runtime.retrieval_arrays,
        recorded.parameters,
        device=options.device,
    )
    stored = loaded.runtime.global_descriptors.shape[1]
    if descriptor.size != stored:
        raise InputError(
            f'{loaded.path}: its images have global descriptors of {stored} numbers, '
            f"'{descriptor.name}' here makes {descriptor.size}; build the map again"
        )
    return descriptor


def _parameters_of(name: str) -> set[str]:
    return {leaf.name for leaf in front_end_options(name)().leaves()}
