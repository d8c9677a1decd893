"""A map and a warm localizer of what the parameters say."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from pathlib import Path

from hloc_localizer.errors import InputError
from hloc_localizer.localization import Localizer, LocalizerOptions
from hloc_localizer.mapping.open_map import open_map
from hloc_localizer.maps import Map
from hloc_localizer.ros.options import LocalizerNodeOptions


def load_map(folder: str) -> Map:
    """
    Load the map that the parameter ``map`` names.

    :raises InputError: when it names none, or one that cannot be used.
    """
    if not folder:
        raise InputError("parameter 'map' is not set; give the folder of a map")
    return open_map(Path(folder).expanduser())


def warm_localizer(loaded: Map, options: LocalizerOptions) -> Localizer:
    """Prepare a map, so that its first image is not the slow one."""
    localizer = Localizer(loaded, options)
    localizer.warm_up()
    return localizer


def load_again(
    options: LocalizerNodeOptions,
    before: LocalizerNodeOptions,
    loaded: Map,
    meanwhile: Callable[[], None],
    period_s: float,
) -> tuple[Map, Localizer]:
    """
    Return the map and the localizer that changed options ask for.

    :param loaded: the map of the options before, which is used again where it is the same.
    :param meanwhile: called every ``period_s`` until they are ready: the caller's thread waits,
        but those who need its broadcasts need not.
    :raises HlocLocalizerError: when there is no such map, or it cannot be used.
    """

    def load() -> tuple[Map, Localizer]:
        chosen = loaded if options.map == before.map else load_map(options.map)
        return chosen, warm_localizer(chosen, options.localization)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        work = pool.submit(load)
        while True:
            try:
                return work.result(timeout=period_s)
            except concurrent.futures.TimeoutError:
                meanwhile()
