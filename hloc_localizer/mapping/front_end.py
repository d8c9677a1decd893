"""The front end that a build or an import asks for, and what the map records of it."""

from __future__ import annotations

from typing import Any

from hloc_localizer.features.learned.choose import choose_front_end
from hloc_localizer.features.learned.options import MACHINE_OPTIONS
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.maps import Component
from hloc_localizer.options import Options
from hloc_localizer.progress import Progress


def open_front_end(options: Options, progress: Progress) -> FrontEnd:
    """
    Make the front end that ``front_end`` of the options names, by the options of that name.

    :raises InputError: for missing or wrong weights, or a device that is not there.
    """
    values = options.as_dict()
    name = str(values['front_end'])
    if name == 'auto':
        name, reason = choose_front_end(values)
        progress.note(f"front end '{name}': {reason}")
    return create_front_end(name, values.get(name))


def component_of(front_end: FrontEnd, options: Options) -> Component:
    """Return what the map records: what the localizer must do alike, not what machine it was."""
    values: dict[str, Any] = options.as_dict()[front_end.name]
    kept = {key: value for key, value in values.items() if key not in MACHINE_OPTIONS}
    return Component(front_end.name, kept)


def matches_by_network(component: Component) -> bool:
    """Tell whether a map's front end matches by a network."""
    return bool(component.parameters.get('matcher', _NEAREST) != _NEAREST)


_NEAREST = 'nearest_neighbour'
