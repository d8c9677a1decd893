"""Ways to damage a map folder: as disks, copies and ill-meaning people do."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hloc_localizer.maps import Map, write_map
from hloc_localizer.maps.checksums import file_record
from hloc_localizer.maps.manifest import MANIFEST_NAME, read_manifest
from hloc_localizer.maps.safetensors_io import read_safetensors, write_safetensors
from hloc_localizer.maps.store import RUNTIME_NAME

Random = np.random.Generator
MapMutation = Callable[[Path, Random], None]

HOSTILE = (
    '.nan', '.inf', '-1', '0', '1e999', '99999999999999999999', "''", '[]', '{}', 'null', 'true',
    '../../../etc/passwd', '/etc/passwd', '!!python/object/apply:os.getpid []', '&a [*a]',
    '"\\0"', '[' * 500, 'x' * 100000,
)  # fmt: skip
"""Values that YAML files should not have where others are."""


def bare_copy(loaded: Map, path: Path) -> None:
    """Write the parts of a map that localizing reads."""
    write_map(path, dataclasses.replace(loaded.manifest, files={}), loaded.runtime)


class DamagedCopies:
    """Makes damaged copies of the parts of a map that localizing reads."""

    def __init__(self, path: Path, folder: Path) -> None:
        """
        Copy the map.

        :param folder: an empty one that all copies go to.
        """
        self._folder = folder
        self.whole = folder / 'whole'
        bare_copy(Map.load(path), self.whole)
        self._made: list[Path] = []
        self._count = 0

    def make(self, random: Random) -> tuple[Path, str]:
        """Return a new damaged copy, and the name of the damage."""
        copy = self._folder / f'damaged_{self._count}'
        self._count += 1
        shutil.copytree(self.whole, copy)
        self._made.append(copy)
        mutate = MAP_MUTATIONS[int(random.integers(len(MAP_MUTATIONS)))]
        mutate(copy, random)
        return copy, mutate.__name__.lstrip('_')

    def remove(self) -> None:
        """Remove the damaged copies that were made."""
        while self._made:
            shutil.rmtree(self._made.pop())


def _flip_byte(folder: Path, random: Random) -> None:
    path = _victim(folder, random)
    with path.open('r+b') as file:
        at = int(random.integers(path.stat().st_size))
        file.seek(at)
        old = file.read(1)[0]
        file.seek(at)
        file.write(bytes([old ^ int(random.integers(1, 256))]))


def _flip_header(folder: Path, random: Random) -> None:
    """Change the first bytes of the compiled map: lengths, names, types, offsets."""
    with (folder / RUNTIME_NAME).open('r+b') as file:
        at = int(random.integers(2000))
        file.seek(at)
        file.write(random.bytes(int(random.integers(1, 9))))


def _truncate(folder: Path, random: Random) -> None:
    path = _victim(folder, random)
    os.truncate(path, int(random.integers(path.stat().st_size)))


def _lengthen(folder: Path, random: Random) -> None:
    with _victim(folder, random).open('ab') as file:
        file.write(random.bytes(int(random.integers(1, 100))))


def _remove(folder: Path, random: Random) -> None:
    _victim(folder, random).unlink()


def _make_folder(folder: Path, random: Random) -> None:
    path = _victim(folder, random)
    path.unlink()
    path.mkdir()


def _make_pipe(folder: Path, random: Random) -> None:
    path = _victim(folder, random)
    path.unlink()
    os.mkfifo(path)


def _link_out(folder: Path, random: Random) -> None:
    path = _victim(folder, random)
    path.unlink()
    path.symlink_to('/etc/hostname')


def _hostile_value(folder: Path, random: Random) -> None:
    """Put a value that cannot be into the manifest."""
    path = folder / MANIFEST_NAME
    text = path.read_text(encoding='utf-8')
    values = list(re.finditer(r'(?<=: )\S.*$', text, re.MULTILINE))
    chosen = values[int(random.integers(len(values)))]
    value = HOSTILE[int(random.integers(len(HOSTILE)))]
    path.write_text(text[: chosen.start()] + value + text[chosen.end() :], encoding='utf-8')


def _lost_line(folder: Path, random: Random) -> None:
    path = folder / MANIFEST_NAME
    lines = path.read_text(encoding='utf-8').splitlines(keepends=True)
    del lines[int(random.integers(len(lines)))]
    path.write_text(''.join(lines), encoding='utf-8')


def _crafted_array(folder: Path, random: Random) -> None:
    """Change an array so that it cannot be right, with checksums that agree."""
    path = folder / RUNTIME_NAME
    tensors = read_safetensors(path)
    arrays = {name: np.array(array) for name, array in tensors.arrays.items()}
    name = sorted(arrays)[int(random.integers(len(arrays)))]
    arrays[name] = _spoilt(arrays[name], random)
    path.unlink()  # the mapped file must not change below the arrays
    write_safetensors(path, arrays, tensors.metadata)
    _sign(folder)


def _crafted_metadata(folder: Path, random: Random) -> None:
    path = folder / RUNTIME_NAME
    tensors = read_safetensors(path)
    arrays = {name: np.array(array) for name, array in tensors.arrays.items()}
    metadata = dict(tensors.metadata)
    key = sorted(metadata)[int(random.integers(len(metadata)))]
    text = metadata[key]
    at = int(random.integers(len(text)))
    spoilt = ('', '[]', text[:at], text[:at] + '9' * 30 + text[at:], 'NaN', text + text)
    metadata[key] = spoilt[int(random.integers(len(spoilt)))]
    path.unlink()
    write_safetensors(path, arrays, metadata)
    _sign(folder)


def _crafted_header(folder: Path, random: Random) -> None:
    """Declare an array without content that is absurdly long in its other directions."""
    path = folder / RUNTIME_NAME
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], 'little')
    header = json.loads(content[8:end])
    names = [*sorted(header.keys() - {'__metadata__'}), 'another']
    name = names[int(random.integers(len(names)))]
    shape = [1 << int(power) for power in random.integers(0, 64, int(random.integers(1, 9)))]
    shape.insert(int(random.integers(len(shape) + 1)), 0)
    header[name] = {'dtype': 'F64', 'shape': shape, 'data_offsets': [0, 0]}
    text = json.dumps(header).encode()
    path.unlink()
    path.write_bytes(len(text).to_bytes(8, 'little') + text + content[end:])
    _sign(folder)


def _spoilt(array: np.ndarray[Any, Any], random: Random) -> np.ndarray[Any, Any]:
    choice = int(random.integers(5))
    if choice == 0:
        return array[:-1]
    if choice == 1:
        return array.reshape(-1)
    if choice == 2:
        return array.astype(np.float64 if array.dtype != np.float64 else np.float32)
    spoilt = array.copy()
    flat = spoilt.reshape(-1)
    at = int(random.integers(flat.size))
    if np.issubdtype(spoilt.dtype, np.floating):
        flat[at] = (np.nan, np.inf, -np.inf)[int(random.integers(3))]
    elif choice == 3:
        flat[at] = np.iinfo(spoilt.dtype).max
    else:
        flat[at] = np.iinfo(spoilt.dtype).min
    return spoilt


def _sign(folder: Path) -> None:
    """Let the manifest agree with the compiled map, as who means ill would."""
    manifest = read_manifest(folder)
    files = {**manifest.files, RUNTIME_NAME: file_record(folder / RUNTIME_NAME)}
    text = dataclasses.replace(manifest, files=files).to_yaml()
    (folder / MANIFEST_NAME).write_text(text, encoding='utf-8')


def _victim(folder: Path, random: Random) -> Path:
    return folder / (MANIFEST_NAME, RUNTIME_NAME)[int(random.integers(2))]


MAP_MUTATIONS: tuple[MapMutation, ...] = (
    _flip_byte, _flip_byte, _flip_header, _flip_header, _truncate, _lengthen, _remove,
    _make_folder, _make_pipe, _link_out, _hostile_value, _hostile_value, _lost_line,
    _crafted_array, _crafted_array, _crafted_metadata, _crafted_header,
)  # fmt: skip
