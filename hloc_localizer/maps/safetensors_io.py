"""The safetensors layout: named arrays in one file, written reproducibly, read or mapped."""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import MapError

_DTYPES = {
    'F64': '<f8', 'F32': '<f4', 'F16': '<f2',
    'I64': '<i8', 'I32': '<i4', 'I16': '<i2', 'I8': '|i1',
    'U64': '<u8', 'U32': '<u4', 'U16': '<u2', 'U8': '|u1', 'BOOL': '|b1',
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}
_LONGEST_HEADER = 64 << 20
_ALIGNMENT = 64
_MOST_DIMENSIONS = 8
_TOO_LARGE = 1 << 62


@dataclass(frozen=True)
class Tensors:
    """The content of one file."""

    arrays: dict[str, NDArray[Any]]
    """Read-only views of one buffer or of the mapped file, by name."""
    metadata: dict[str, str]


def write_safetensors(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str],
    *,
    sync: bool = True,
) -> None:
    """
    Write arrays; the same content gives the same bytes.

    Arrays of wide elements come first, so that each lies at a multiple of its element size.
    Layout: https://github.com/huggingface/safetensors#format.

    :param arrays: name to array of a bool, integer or float type.
    :param sync: wait until the file is on the disk.
    """
    ordered = _ordered(arrays)
    text = _header(ordered, metadata)
    with path.open('wb') as file:
        file.write(len(text).to_bytes(8, 'little'))
        file.write(text)
        for _, array in ordered:
            little = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
            file.write(little.reshape(-1).view(np.uint8).data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def safetensors_size(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> int:
    """Return how many bytes :func:`write_safetensors` would write."""
    ordered = _ordered(arrays)
    return 8 + len(_header(ordered, metadata)) + sum(array.nbytes for _, array in ordered)


_Named = list[tuple[str, NDArray[Any]]]


def _ordered(arrays: Mapping[str, NDArray[Any]]) -> _Named:
    return sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))


def _header(ordered: _Named, metadata: Mapping[str, str]) -> bytes:
    header: dict[str, Any] = {'__metadata__': dict(sorted(metadata.items()))}
    begin = 0
    for name, array in ordered:
        header[name] = {
            'dtype': _NAMES[array.dtype.newbyteorder('<')],
            'shape': list(array.shape),
            'data_offsets': [begin, begin + array.nbytes],
        }
        begin += array.nbytes
    text = json.dumps(header, separators=(',', ':')).encode()
    return text + b' ' * (-(len(text) + 8) % _ALIGNMENT)


def read_safetensors(path: Path, *, mapped: bool = False) -> Tensors:
    """
    Read a file.

    :param mapped: map it into memory instead, for files that nobody else writes: when one becomes
        shorter meanwhile, as copying another over it makes it, the process ends with a bus error.
    :raises MapError: when the file is not of this layout, naming what is wrong.
    """
    try:
        with path.open('rb') as file:
            size = os.fstat(file.fileno()).st_size
            if size < 8:
                raise MapError(
                    f'{path}: not a safetensors file ({size} bytes); build the map again'
                )
            buffer = _mapped(file) if mapped else file.read(size)
    except OSError as error:
        raise MapError(f'{path}: cannot be read ({error.strerror})') from error
    if len(buffer) < size:
        raise MapError(f'{path}: grew shorter while it was read; load it again')
    header_end = 8 + int.from_bytes(buffer[:8], 'little')
    if header_end > min(size, _LONGEST_HEADER):
        raise MapError(f'{path}: its header is longer than the file; build the map again')
    header = _parse_header(path, buffer[8:header_end])
    metadata = _metadata(path, header.pop('__metadata__', {}))
    entries = {name: _entry(path, name, entry) for name, entry in header.items()}
    _check_contiguous(path, entries, size - header_end)
    arrays = {name: _view(buffer, header_end, entry) for name, entry in entries.items()}
    return Tensors(arrays, metadata)


def _mapped(file: BinaryIO) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@dataclass(frozen=True)
class _Entry:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def _parse_header(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise MapError(f'{path}: its header is not JSON; build the map again') from error
    if not isinstance(header, dict):
        raise MapError(f'{path}: its header is not an object; build the map again')
    return header


def _metadata(path: Path, metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise MapError(f'{path}: its metadata are not texts; build the map again')
    return metadata


def _entry(path: Path, name: str, entry: Any) -> _Entry:
    try:
        dtype = np.dtype(_DTYPES[entry['dtype']])
        shape, (begin, end) = entry['shape'], entry['data_offsets']
    except (TypeError, KeyError, ValueError) as error:
        raise MapError(f"{path}: array '{name}' has no valid description") from error
    if not isinstance(shape, list) or not all(_is_count(v) for v in (*shape, begin, end)):
        raise MapError(f"{path}: array '{name}' has no valid shape")
    if len(shape) > _MOST_DIMENSIONS or end - begin != math.prod(shape) * dtype.itemsize:
        raise MapError(f"{path}: array '{name}' has not the size of its shape {shape}")
    # An empty array, too, may be longer in its other directions than numpy can count.
    if math.prod(n or 1 for n in shape) * dtype.itemsize >= _TOO_LARGE:
        raise MapError(f"{path}: array '{name}' is too large in its shape {shape}")
    return _Entry(dtype, tuple(shape), begin, end)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_LARGE


def _check_contiguous(path: Path, entries: Mapping[str, _Entry], size: int) -> None:
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            raise MapError(f"{path}: array '{name}' does not follow the one before it")
        position = entry.end
    if position != size:
        raise MapError(f'{path}: its arrays take {position} bytes but the file holds {size}')


def _view(buffer: bytes | mmap.mmap, header_end: int, entry: _Entry) -> NDArray[Any]:
    if entry.begin == entry.end:
        return np.zeros(entry.shape, entry.dtype)
    count = math.prod(entry.shape)
    flat: NDArray[Any] = np.frombuffer(buffer, entry.dtype, count, header_end + entry.begin)
    return flat.reshape(entry.shape)
