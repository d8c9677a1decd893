"""The maps and warm localizers that the parameters ask for."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hloc_localizer.errors import InputError
from hloc_localizer.freed_memory import return_freed_memory
from hloc_localizer.localization import Localizer, LocalizerOptions
from hloc_localizer.mapping.open_map import open_map
from hloc_localizer.maps import Map
from hloc_localizer.maps.manifest import read_manifest, require_metric
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.parameters import paths_of


@dataclass(frozen=True)
class LoadedMap:
    """A map and its localizer."""

    map: Map
    localizer: Localizer

    def facts(self) -> dict[str, object]:
        """Return what describes the map in diagnostics."""
        runtime = self.map.runtime
        return {
            'path': self.map.path,
            'images': len(runtime.image_names),
            'points': len(runtime.points),
            'front_end': self.map.manifest.front_end.name,
        }

    def has_changed(self) -> bool:
        """Tell whether its folder holds another map by now, or none."""
        try:
            return read_manifest(self.map.path) != self.map.manifest
        except (InputError, OSError):
            return True

    def line(self) -> str:
        """Return what describes the map in the log."""
        runtime = self.map.runtime
        return (
            f'map {self.map.path}: {len(runtime.image_names)} images, {len(runtime.points)} points'
        )


def load_maps(options: LocalizerNodeOptions, again: Sequence[LoadedMap] = ()) -> list[LoadedMap]:
    """
    Load and warm up the maps that the parameter ``map`` names.

    :param again: maps that are loaded already, and need not be read a second time.
    :raises HlocLocalizerError: when it names none, or one that cannot be used.
    """
    known = {str(loaded.map.path): loaded.map for loaded in again}
    paths = map_paths(options.map)
    maps = [known.get(str(path)) or open_map(path) for path in paths]
    for one in maps:
        require_metric(
            one.manifest,
            allow_unscaled=options.allow_unscaled,
            remedy="parameter 'allow_unscaled'",
        )
        _check_frames(options, options.map_frame or one.manifest.map_frame)
    return [LoadedMap(one, _warm_localizer(one, options.localization)) for one in maps]


def _check_frames(options: LocalizerNodeOptions, map_frame: str) -> None:
    """
    Refuse two names for one frame, which TF would make a loop of.

    :raises InputError: naming both.
    """
    frames = {
        'map_frame': map_frame,
        'odom_frame': options.odom_frame,
        'base_frame': options.base_frame,
    }
    for (name, frame), (other, other_frame) in itertools.combinations(frames.items(), 2):
        if frame.lstrip('/') == other_frame.lstrip('/'):
            raise InputError(f"'{name}' and '{other}' are both '{frame}'; they must be two frames")


def map_paths(names: str) -> list[Path]:
    """
    Return the folders that the parameter ``map`` names, separated by commas.

    :raises InputError: when it names none.
    """
    paths = paths_of(names, 'map')
    if not paths:
        raise InputError("parameter 'map' is not set; give the folder of a map")
    return paths


class MapLoading:
    """Loads maps in a thread, beside those in use; they wait there until they are taken."""

    def __init__(self) -> None:
        """Begin without any."""
        self._asked: tuple[LocalizerNodeOptions, tuple[LoadedMap, ...]] | None = None
        self._work: concurrent.futures.Future[list[LoadedMap]] | None = None
        # One thread for all: the allocator of glibc gives each new one a heap of its own.
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix='map loading')

    def begin(
        self, options: LocalizerNodeOptions, again: tuple[LoadedMap, ...]
    ) -> concurrent.futures.Future[list[LoadedMap]]:
        """Load and warm up; the parameters are those of :func:`load_maps`."""
        self._asked, self._work = (options, again), self._pool.submit(load_maps, options, again)
        return self._work

    def take(self, options: LocalizerNodeOptions, again: tuple[LoadedMap, ...]) -> list[LoadedMap]:
        """
        Return the maps that were loaded with the same parameters, or load them now.

        :raises HlocLocalizerError: as :func:`load_maps`.
        """
        if self._work is None or self._asked != (options, again):
            return load_maps(options, again)
        return self._work.result()

    def forget(self) -> None:
        """Let go of maps that nobody has taken, and of the memory of those before."""
        if self._work is not None:
            self._asked, self._work = None, None
            return_freed_memory()


def _warm_localizer(loaded: Map, options: LocalizerOptions) -> Localizer:
    """Prepare a map, so that its first image is not the slow one."""
    localizer = Localizer(loaded, options)
    localizer.warm_up()
    return localizer
