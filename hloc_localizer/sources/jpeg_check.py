"""
Whether the data of a JPEG is whole, by its last blocks: decoders fill or shift what is damaged.

One wrong byte in the entropy-coded data makes a decoder lose its place: it reads other blocks than
were written, too many or too few, so that all that follows is shifted in the picture. libjpeg
warns of it on stderr, OpenCV hands out the picture. Here the end of the data is decoded once more,
from wherever the codes fall into step, up to the last bit; the brightness of those blocks must be
that of the last blocks of the picture. This costs a fraction of a millisecond, whatever the size.

ISO/IEC 10918-1: segments in annex B, codes of sequential images in annex F.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_COMPARED_BLOCKS = 40
"""Brightness blocks at the end that are compared."""

_OUT_OF_STEP = 10
"""Units (MCU) that are decoded before them, to fall into step."""

_SHORTEST_TAIL, _LONGEST_TAIL = 512, 4096
"""Bytes that are decoded for that."""

_FEWEST_BLOCKS, _FITTING = 8, 0.75
"""Blocks that must be compared, and the share of them that must fit."""
_TOLERANCE, _TOLERANCE_CLIPPED = 0.75, 2.5
"""
Grey values between the mean of a block and what its data says. Of whole images most blocks are
within 0.1, and within 1.9 where decoding went beyond black or white; another block is off by 10.
"""

_REST = 128
"""Stands for as many coefficients as the block still has."""

_SOS, _EOI, _DHT, _DQT, _DRI, _APP14 = 0xDA, 0xD9, 0xC4, 0xDB, 0xDD, 0xEE
_SEQUENTIAL = (0xC0, 0xC1)
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_RESTARTS = range(0xD0, 0xD8)

Codes = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""
For each value of the next 16 bits: bits of the code that they begin with and of the value after it,
0 where there is none; and what it stands for: of DC the bits of the value, of AC the number of
coefficients.
"""


def damage(raw: NDArray[np.uint8], pixels: NDArray[Any]) -> str:
    """
    Tell what is wrong with the data of a JPEG that was decoded.

    :param raw: the file.
    :param pixels: (H, W) or (H, W, 3) BGR, as it was decoded.
    :returns: a few words; empty where nothing is wrong, or for a kind that is not looked at:
        progressive, arithmetic, one scan for each component. Of data with restarts, and of other
        colours than YCbCr, only the markers are looked at.
    """
    try:
        header = _read_header(raw[: 1 << 16].tobytes())
    except (struct.error, IndexError, KeyError, ValueError):
        return ''  # the decoder understood more of it
    if header is None:
        return ''
    data, problem = _entropy_coded(raw[header.begin :], header)
    if problem or header.restart_interval or header.blocks_of_unit == 0:
        return problem  # restarts keep damage to one interval, most often a row of blocks
    said = ''
    for units in _last_units(data, header):
        fits = _fits(pixels, header, units)
        if fits:
            return ''
        if fits is False:
            said = 'its last blocks are not where they belong'
        # Rarely the codes fall into step at a wrong place, and come to the end all the same.
    return said


@dataclass(frozen=True)
class _Header:
    """What the segments before the entropy-coded data say."""

    begin: int
    """Of the entropy-coded data."""
    width: int
    height: int
    across: int
    """Brightness blocks of a unit, side by side."""
    down: int
    blocks_of_unit: int
    """0 where the data is of a kind that is not decoded here."""
    tables: tuple[tuple[Codes, Codes], ...]
    """DC and AC codes of each block of a unit."""
    dc_step: float
    """Grey values of a block's mean that the DC coefficient 1 makes."""
    restart_interval: int

    @property
    def compared_units(self) -> int:
        """Units (MCU) at the end that are compared."""
        return _COMPARED_BLOCKS // (self.across * self.down)

    @property
    def units_across(self) -> int:
        """Units side by side."""
        return -(-self.width // (8 * self.across))

    @property
    def units(self) -> int:
        """Units of the picture."""
        return self.units_across * -(-self.height // (8 * self.down))


def _read_header(head: bytes) -> _Header | None:
    """Walk the segments up to the scan; None for data that is not sequential, or in several."""
    quantisers: dict[int, int] = {}
    codes: dict[int, Codes] = {}
    frame, frame_kind, restart, rgb = b'', 0, 0, False
    for marker, segment, after in _segments(head):
        if marker == _DQT:
            quantisers.update(_dc_quantisers(segment))
        elif marker == _DHT:
            codes.update(_code_tables(segment))
        elif marker == _DRI:
            restart = int(struct.unpack('>H', segment)[0])
        elif marker == _APP14 and segment[:5] == b'Adobe':
            rgb = segment[11] == 0
        elif marker in _FRAMES:
            frame, frame_kind = segment, marker
        elif marker == _SOS:
            if frame_kind not in _SEQUENTIAL or frame[0] != 8 or segment[0] != frame[5]:
                return None
            return _header(frame, segment, after, quantisers, codes, restart, rgb)
    return None


def _segments(head: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and end of each segment."""
    at = 2
    while True:
        if head[at] != 0xFF:
            raise ValueError('no marker')
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length = struct.unpack_from('>H', head, at + 2)[0]
        yield marker, head[at + 4 : at + 2 + length], at + 2 + length
        at += 2 + length


def _dc_quantisers(segment: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(segment):
        wide, number = segment[at] >> 4, segment[at] & 15
        yield number, struct.unpack_from('>H' if wide else '>B', segment, at + 1)[0]
        at += 129 if wide else 65


def _code_tables(segment: bytes) -> Iterator[tuple[int, Codes]]:
    at = 0
    while at < len(segment):
        size = sum(segment[at + 1 : at + 17])
        yield segment[at], _codes(segment[at : at + 17 + size])
        at += 17 + size


@functools.lru_cache(maxsize=32)
def _codes(table: bytes) -> Codes:
    """Make the codes of a table: its class, how many codes have 1 to 16 bits, their symbols."""
    bits, made = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
    at, code = 17, 0
    for length in range(1, 17):
        span = 1 << (16 - length)
        for _ in range(table[length]):
            symbol, end = table[at], code + span
            size = symbol & 15
            bits[code:end] = length + size
            if table[0] < 16:
                made[code:end] = size
            elif size:
                made[code:end] = (symbol >> 4) + 1
            else:
                made[code:end] = 16 if symbol == 0xF0 else _REST
            code, at = end, at + 1
    return bits, made


def _header(
    frame: bytes,
    scan: bytes,
    begin: int,
    quantisers: dict[int, int],
    codes: dict[int, Codes],
    restart: int,
    rgb: bool,
) -> _Header:
    height, width, count = struct.unpack_from('>HHB', frame, 1)
    components = {frame[6 + 3 * i]: frame[7 + 3 * i : 9 + 3 * i] for i in range(count)}
    chosen = [(scan[1 + 2 * i], scan[2 + 2 * i]) for i in range(scan[0])]
    sampling = [(components[name][0] >> 4, components[name][0] & 15) for name, _ in chosen]
    if count == 1:
        sampling = [(1, 1)]
    across, down = sampling[0]
    known = (
        count in (1, 3)
        and not (count == 3 and (rgb or bytes(components) == b'RGB'))
        and all(a <= across and d <= down for a, d in sampling)
    )
    tables = [
        (codes[selectors >> 4], codes[0x10 | selectors & 15])
        for (_, selectors), (a, d) in zip(chosen, sampling, strict=True)
        for _ in range(a * d)
    ]
    return _Header(
        begin=begin,
        width=width,
        height=height,
        across=across,
        down=down,
        blocks_of_unit=len(tables) if known else 0,
        tables=tuple(tables),
        dc_step=quantisers[components[chosen[0][0]][1]] / 8.0,
        restart_interval=restart,
    )


def _entropy_coded(rest: NDArray[np.uint8], header: _Header) -> tuple[NDArray[np.uint8], str]:
    """
    Return the end of the entropy-coded data, without the stuffed zeros.

    :returns: the data, and what is wrong with the markers in it.
    """
    at = np.flatnonzero(rest[:-1] == 0xFF)
    following = rest[at + 1]
    markers = (following != 0x00) & (following != 0xFF)
    at, following = at[markers], following[markers]
    restarts = (following >= _RESTARTS[0]) & (following <= _RESTARTS[-1])
    ends = np.flatnonzero(~restarts)
    if len(ends) == 0:
        return rest[:0], ''  # a camera that does not write the end; it is judged elsewhere
    end = int(ends[0])
    if following[end] != _EOI:
        return rest[:0], 'a marker is in the middle of its data'
    if header.restart_interval:
        if not np.array_equal(following[:end] - _RESTARTS[0], np.arange(end) % 8):
            return rest[:0], 'restart markers are missing'
    elif end:
        return rest[:0], 'there are restart markers in its data'
    tail = (header.compared_units + _OUT_OF_STEP) * int(at[end]) // max(header.units, 1)
    tail = min(max(tail, _SHORTEST_TAIL), _LONGEST_TAIL)
    data = rest[max(0, int(at[end]) - tail) : int(at[end])]
    filling = len(data) - len(data.tobytes().rstrip(b'\xff'))
    data = data[: len(data) - filling]
    stuffed = np.flatnonzero((data[:-1] == 0xFF) & (data[1:] == 0x00)) + 1
    return np.delete(data, stuffed), ''


def _last_units(data: NDArray[np.uint8], header: _Header) -> Iterator[list[list[int]]]:
    """
    Decode the end of the data, from each beginning that leads there.

    :returns: of each of the last units the differences of the DC coefficients of its brightness
        blocks.
    """
    walk = _Walk(data, header)
    seen: set[int] = set()
    for begin in range(walk.bits):
        starts = []
        at: int | None = begin
        while at is not None and at not in seen:
            seen.add(at)
            starts.append(at)
            at = walk.unit(at)
            if at is not None and walk.is_end(at):
                yield [walk.differences(start) for start in starts[-header.compared_units :]]
                break


class _Walk:
    """Steps from code to code, and from unit to unit, through a piece of entropy-coded data."""

    def __init__(self, data: NDArray[np.uint8], header: _Header) -> None:
        self.bits = 8 * len(data)
        self._brightness_blocks = header.across * header.down
        padded = np.concatenate([data, np.full(8, 0xFF, np.uint8)]).astype(np.uint32)
        words = (padded[:-2] << 16) | (padded[1:-1] << 8) | padded[2:]
        shifts = np.arange(8, 0, -1, dtype=np.uint32)
        self._next_16 = ((words[:, None] >> shifts) & 0xFFFF).reshape(-1)
        # Bytes: looked up one by one, they are three times as fast as arrays.
        made: dict[int, tuple[bytes, bytes]] = {}
        for bits, meaning in (codes for pair in header.tables for codes in pair):
            if id(bits) not in made:
                made[id(bits)] = tuple(x[self._next_16].tobytes() for x in (bits, meaning))
        self._blocks = [(*made[id(dc[0])], *made[id(ac[0])]) for dc, ac in header.tables]

    def unit(self, at: int) -> int | None:
        """Return where the unit that begins at a bit ends; None where none can be."""
        bits = self.bits
        for dc_bits, _, ac_bits, ac_made in self._blocks:
            if at >= bits or not dc_bits[at]:
                return None
            at += dc_bits[at]
            coefficient = 1
            while coefficient < 64:
                if at >= bits or not ac_bits[at]:
                    return None
                coefficient += ac_made[at]
                at += ac_bits[at]
            if 64 < coefficient < _REST:
                return None
        return at if at <= bits else None

    def is_end(self, at: int) -> bool:
        """Tell whether only padding follows: less than a byte of equal bits."""
        rest = self.bits - at
        if rest > 7:
            return False
        padding = int(self._next_16[at]) >> (16 - rest) if rest else 0
        return padding in (0, (1 << rest) - 1)

    def differences(self, at: int) -> list[int]:
        """Return the DC differences of the brightness blocks of the unit that begins at a bit."""
        found = []
        for dc_bits, dc_sizes, ac_bits, ac_made in self._blocks[: self._brightness_blocks]:
            size = dc_sizes[at]
            at += dc_bits[at]
            value = int(self._next_16[at - size]) >> (16 - size) if size else 0
            found.append(value if size == 0 or value >> (size - 1) else value - (1 << size) + 1)
            coefficient = 1
            while coefficient < 64:
                coefficient += ac_made[at]
                at += ac_bits[at]
        return found


def _fits(pixels: NDArray[Any], header: _Header, units: list[list[int]]) -> bool | None:
    """
    Compare the brightness of the last blocks of the picture with that of the data.

    :returns: None where there are too few of them.
    """
    if pixels.shape[:2] != (header.height, header.width):
        return None
    wide, tall = 8 * header.across, 8 * header.down
    level, differences, clipped = 0, [], False
    for number, unit in enumerate(units, header.units - len(units)):
        top, left = divmod(max(number, 0), header.units_across)
        for index, step in enumerate(unit):
            level += step
            row, column = top * tall + index // header.across * 8, left * wide
            column += index % header.across * 8
            block = pixels[row : row + 8, column : column + 8]
            if number >= 0 and block.shape[:2] == (8, 8):
                differences.append(_brightness(block) - header.dc_step * level)
                clipped = clipped or block.min() == 0 or block.max() == 255
    if len(differences) < _FEWEST_BLOCKS:
        return None
    # Where they begin is not known, only how they go on.
    tolerance = _TOLERANCE_CLIPPED if clipped else _TOLERANCE
    off = np.abs(np.array(differences) - np.median(differences)) > tolerance
    return bool(off.mean() <= 1.0 - _FITTING)


def _brightness(block: NDArray[Any]) -> float:
    """Return the mean of a block as JPEG weighs the colours."""
    first, second, third, _ = cv2.mean(block)  # a fraction of the time of an array's own
    return float(first if block.ndim == 2 else 0.114 * first + 0.587 * second + 0.299 * third)
