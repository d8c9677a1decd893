"""MCAP files whose recorder died: readable up to their last whole record, without a copy."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

_MAGIC = b'\x89MCAP0\r\n'
_DATA_END = 0x0F
_FOOTER = 0x02
# An MCAP file without an index ends like this (mcap.dev/spec): data end, empty footer, magic.
_TAIL = struct.pack('<BQI', _DATA_END, 4, 0) + struct.pack('<BQQQI', _FOOTER, 20, 0, 0, 0) + _MAGIC


class CutMcap:
    """
    A path to a cut MCAP file that opens as if the recorder had closed it, without an index.

    It has what rosbags asks of a path.
    """

    def __init__(self, path: Path) -> None:
        """Find the end of the last whole record; only the record headers are read."""
        self._path = path
        self.suffix = path.suffix
        self._end = _end_of_records(path)

    @staticmethod
    def is_cut(path: Path) -> bool:
        """Tell whether a file begins as MCAP but does not end so."""
        if path.suffix != '.mcap' or not path.is_file():
            return False
        with path.open('rb') as file:
            begin = file.read(len(_MAGIC))
            file.seek(max(path.stat().st_size - len(_MAGIC), 0))
            return begin == _MAGIC and file.read() != _MAGIC

    def exists(self) -> bool:
        """Return True: the file was there when its records were counted."""
        return True

    def is_dir(self) -> bool:
        """Return False."""
        return False

    def open(self, mode: str = 'rb') -> Any:
        """Open the whole records, closed as MCAP closes them."""
        del mode  # for reading bytes only
        return io.BufferedReader(_Closed(self._path, self._end))

    def __str__(self) -> str:
        return str(self._path)


class _Closed(io.RawIOBase):
    """The first bytes of a file followed by the tail of an MCAP file."""

    def __init__(self, path: Path, end: int) -> None:
        self._file = path.open('rb')
        self._end = end
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end + len(_TAIL)}
        if base[whence] + offset < 0:
            raise OSError(22, 'Invalid argument')
        self._at = base[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at < self._end:
            self._file.seek(self._at)
            data = self._file.read(min(len(buffer), self._end - self._at))
        else:
            begin = self._at - self._end
            data = _TAIL[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _end_of_records(path: Path) -> int:
    size = path.stat().st_size
    at = len(_MAGIC)
    with path.open('rb') as file:
        while at + 9 <= size:
            file.seek(at)
            kind, length = struct.unpack('<BQ', file.read(9))
            if kind in (0, _DATA_END, _FOOTER) or at + 9 + length > size:
                break
            at += 9 + length
    return at
