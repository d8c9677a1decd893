"""Compare every file of a map with its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hloc_localizer.errors import MapError
from hloc_localizer.maps.checksums import file_record, relative_files
from hloc_localizer.maps.manifest import FileRecord, read_manifest
from hloc_localizer.maps.map import Map, check_file


@dataclass(frozen=True)
class Verification:
    """What differs between a map folder and its manifest."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    """Files of another size or checksum, and links out of the map."""
    unexpected: tuple[str, ...]
    """Files that the manifest does not list."""
    unusable: str = ''
    """Why the compiled map cannot be used although its files are as recorded."""

    @property
    def ok(self) -> bool:
        """Whether everything is as recorded."""
        return not (self.missing or self.changed or self.unexpected or self.unusable)

    def lines(self) -> list[str]:
        """Return one line a problem."""
        lines = [f'missing: {name}' for name in self.missing]
        lines += [f'changed: {name}' for name in self.changed]
        lines += [f'unexpected: {name}' for name in self.unexpected]
        return lines + ([f'unusable: {self.unusable}'] if self.unusable else [])


def verify_map(path: Path | str) -> Verification:
    """
    Hash every file of a map.

    :raises MapError: only when there is no readable manifest to compare with.
    """
    path = Path(path)
    manifest = read_manifest(path)
    present = set(relative_files(path))
    missing = sorted(set(manifest.files) - present)
    recorded = {name: record for name, record in manifest.files.items() if name in present}
    changed = sorted(name for name, record in recorded.items() if _differs(path, name, record))
    unexpected = sorted(present - set(manifest.files))
    unusable = '' if missing or changed else _why_unusable(path)
    return Verification(tuple(missing), tuple(changed), tuple(unexpected), unusable)


def _differs(path: Path, name: str, record: FileRecord) -> bool:
    try:
        check_file(path, name, record)
        return file_record(path / name) != record
    except (MapError, OSError):
        return True


def _why_unusable(path: Path) -> str:
    try:
        Map.load(path)
    except MapError as error:
        return str(error)
    return ''
