"""Takes harmless oddities out of JPEG pictures, so that what else is wrong with them is noticed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import simplejpeg

_LONGEST_FILLING = 32
"""Bytes of any value before a restart marker; webcams are known to add up to ten."""
_READ_AHEAD = 16
"""Bytes that a decoder may have taken of what follows the data; more were read as data."""
_MOST_RESTARTS, _MOST_BYTES = 10_000, 1 << 28
"""Pictures with more of them, and what they take, would hold up those that come after."""
_WIDEST = 65500
"""Pixels that libjpeg decodes in a row."""

_EXTRANEOUS = re.compile(r'(\d+) extraneous bytes before marker 0x([0-9a-f]{2})')
_ODD_SCAN = 'Invalid SOS parameters'
"""Said of some cameras' headers; libjpeg decodes as if the right ones were there."""
_SEQUENTIAL_SCAN = b'\x00\x3f\x00'

_RESTARTS = range(0xD0, 0xD8)
_TABLES = {0xC4, 0xC8, 0xCC}
_FRAMES = set(range(0xC0, 0xD0)) - _TABLES
_SEQUENTIAL = {0xC0, 0xC1}
_INTERVAL, _SCAN, _END = 0xDD, 0xDA, 0xD9


def repaired(said: str, data: bytes) -> bytes | None:
    """
    Return a picture without what a decoder said of it; it decodes to the same pixels.

    :param said: the first thing that the decoder noticed.
    :param data: the file, with an end marker.
    :returns: None when that is no harmless oddity.
    """
    if _ODD_SCAN in said:
        return _with_usual_scan(data)
    found = _EXTRANEOUS.search(said)
    if found is None:
        return None
    count, marker = int(found[1]), int(found[2], 16)
    if marker in _RESTARTS:
        return _without_filling(data)
    if marker == _END:
        return _without_zeros(data, count) or _without_filling(data)
    return None


def _without_zeros(data: bytes, count: int) -> bytes | None:
    """Cut off zeros before the end marker, if the decoder took none of them for data."""
    end = data.rfind(b'\xff\xd9')
    zeros = end - len(data[:end].rstrip(b'\0'))
    return data[: end - count] + data[end:] if count <= zeros <= count + _READ_AHEAD else None


@dataclass(frozen=True)
class _Layout:
    """Where things are in a sequential JPEG."""

    frame: int
    """Of the marker that begins the description of the frame."""
    interval: int
    """MCUs between restarts; 0 without."""
    scan: int
    """Of the marker of the first scan."""
    data: int
    """Where its entropy-coded data begins."""


def _layout(data: bytes) -> _Layout | None:
    frame = interval = 0
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fills
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
        if marker in _FRAMES:
            if marker not in _SEQUENTIAL:
                return None
            frame = at
        elif marker == _INTERVAL:
            interval = int.from_bytes(data[at + 4 : at + 6], 'big')
        elif marker == _SCAN:
            return _Layout(frame, interval, at, end) if frame else None
        at = end
    return None


def _with_usual_scan(data: bytes) -> bytes | None:
    layout = _layout(data)
    if layout is None:
        return None
    usual = data[: layout.data - 3] + _SEQUENTIAL_SCAN + data[layout.data :]
    return usual if usual != data else None


def _without_filling(data: bytes) -> bytes | None:
    """
    Cut off what is left before restart markers when all that belongs there was decoded.

    What a decoder says is not exact: bytes that it read ahead it tells of at a later marker, or
    never. But it begins anew after each marker: so what lies between two is decoded as a picture of
    its own, of one row as wide as it takes, with so much behind it that some is left unread.
    """
    layout = _layout(data)
    if layout is None or data[layout.scan + 4] != data[layout.frame + 9]:
        return None  # not all components in one scan
    end = data.find(b'\xff\xd9', layout.data)
    markers = list(re.finditer(rb'\xff[\xd0-\xd7]', data[layout.data : end]))
    begins = [layout.data, *(layout.data + marker.end() for marker in markers)]
    ends = [*(layout.data + marker.start() for marker in markers), end]
    units = _units(data, layout)
    if layout.interval * len(markers) >= units or layout.interval * len(begins) < units:
        return None  # one is missing, or there are more than there should be
    if any(data[at - 1] % 8 != number % 8 for number, at in enumerate(begins[1:])):
        return None
    header = _header(data, layout)
    if len(markers) > _MOST_RESTARTS or len(markers) * len(header) > _MOST_BYTES:
        return None
    parts = [data[: layout.data]]
    for begin, stop in zip(begins[:-1], ends[:-1], strict=True):
        piece = data[begin:stop].rstrip(b'\xff')
        piece = piece[: len(piece) - _left_over(header, piece)]
        parts += [piece, data[stop : stop + 2]]
    parts.append(data[begins[-1] :])
    without = b''.join(parts)
    return without if without != data else None


def _left_over(header: bytes, piece: bytes) -> int:
    """Return how many bytes of a piece a decoder does not need; 0 where too many, or damaged."""
    picture = header + piece + bytes(_READ_AHEAD) + b'\xff\xd0\xff\xd9'
    try:
        simplejpeg.decode_jpeg(np.frombuffer(picture, np.uint8), strict=True)
    except ValueError as error:
        found = _EXTRANEOUS.search(str(error))
        if found is not None and 0 < int(found[1]) - _READ_AHEAD <= _LONGEST_FILLING:
            return int(found[1]) - _READ_AHEAD
    return 0


def _unit_size(data: bytes, layout: _Layout) -> tuple[int, int]:
    """Return the width and height in pixels of an MCU."""
    components = data[layout.frame + 9]
    if components == 1:
        return 8, 8
    at = layout.frame + 11
    sampling = data[at : at + 3 * components : 3]
    return 8 * max(byte >> 4 for byte in sampling), 8 * max(byte & 15 for byte in sampling)


def _units(data: bytes, layout: _Layout) -> int:
    """Return how many MCUs the picture has."""
    at = layout.frame + 5
    height, width = (int.from_bytes(data[i : i + 2], 'big') for i in (at, at + 2))
    unit_width, unit_height = _unit_size(data, layout)
    return math.ceil(width / unit_width) * math.ceil(height / unit_height)


def _header(data: bytes, layout: _Layout) -> bytes:
    """Return all that comes before the data, for a picture with one restart in its middle."""
    unit_width, unit_height = _unit_size(data, layout)
    rows = 1
    while layout.interval % rows or layout.interval // rows * unit_width > _WIDEST:
        rows += 1
    size = (2 * rows * unit_height, layout.interval // rows * unit_width)
    at = layout.frame + 5
    text = b''.join(value.to_bytes(2, 'big') for value in size)
    return data[:at] + text + data[at + 4 : layout.data]
