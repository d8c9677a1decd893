"""A map folder, loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hloc_localizer.errors import MapError
from hloc_localizer.maps.container import load_runtime
from hloc_localizer.maps.manifest import FileRecord, Manifest, read_manifest
from hloc_localizer.maps.runtime import RuntimeMap
from hloc_localizer.maps.store import RUNTIME_NAME


@dataclass(frozen=True)
class Map:
    """What ``map.yaml`` says, and the compiled map."""

    path: Path
    manifest: Manifest
    runtime: RuntimeMap

    @staticmethod
    def load(path: Path | str) -> Map:
        """
        Load a map folder; files are compared by size here, :func:`verify_map` hashes them.

        :raises MapError: when a file is missing, has another size, or cannot be used.
        """
        path = Path(path)
        manifest = read_manifest(path)
        if RUNTIME_NAME not in manifest.files:
            raise MapError(f'{path}: the manifest lists no {RUNTIME_NAME}; build the map again')
        for name, record in manifest.files.items():
            check_file(path, name, record)
        runtime = load_runtime(path / RUNTIME_NAME)
        return Map(path, manifest, runtime)

    @property
    def bytes(self) -> int:
        """Size of the whole map on disk, without its manifest."""
        return sum(record.size for record in self.manifest.files.values())

    @property
    def compiled_bytes(self) -> int:
        """Size of the compiled file, which is all that the localizer reads."""
        return self.manifest.files[RUNTIME_NAME].size


def check_file(map_path: Path, name: str, record: FileRecord) -> None:
    """
    Check that a file of a map lies inside the map and has its recorded size.

    :raises MapError: naming the file and the remedy.
    """
    path = map_path / name
    # Not Path.resolve, which raises RuntimeError for a link to itself.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(map_path)):
        raise MapError(f"{map_path}: file '{name}' is a link out of the map; do not use this map")
    if not path.is_file():
        raise MapError(f"{map_path}: file '{name}' is missing; copy or build the map again")
    size = path.stat().st_size
    if size != record.size:
        raise MapError(
            f"{map_path}: file '{name}' has {size} bytes instead of {record.size}; "
            'copy or build the map again'
        )
