"""
JPEG pictures whose data is whole: what a decoder only warns of is refused unless it is harmless.

One wrong byte in the entropy-coded data makes a decoder lose its place: it reads other blocks than
were written, too many or too few, so that all that follows is shifted in the picture. libjpeg
warns of it on stderr and OpenCV hands out the picture. simplejpeg decodes with the same library,
to the same pixels, and hands out the first warning instead.
"""

from __future__ import annotations

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from hloc_localizer.errors import InputError

Bytes = NDArray[np.uint8]

_LONGEST_TRAILER = 4096
"""Bytes in which the end marker is looked for; cameras may append some of their own to it."""
_LONGEST_FILLING = 32
"""Bytes of any value before a restart marker; webcams are known to add up to ten."""

_READ_AHEAD = 16
"""Bytes that a decoder may have taken of what follows the data; more were read as data."""

_EXTRANEOUS = re.compile(r'(\d+) extraneous bytes before marker 0x([0-9a-f]{2})')
_RESTARTS = range(0xD0, 0xD8)
_END = 0xD9
_ODD_SCAN = 'Invalid SOS parameters'
"""Said of some cameras' headers; libjpeg decodes as if the right ones were there."""


def is_jpeg(raw: Bytes) -> bool:
    """Tell whether a file begins as a JPEG."""
    return raw[:2].tobytes() == b'\xff\xd8'


def ended(raw: Bytes) -> Bytes:
    """Return a JPEG with an end marker: some cameras never write it, or it was cut off."""
    if b'\xff\xd9' in raw[-_LONGEST_TRAILER:].tobytes():
        return raw
    return np.append(raw, np.array([0xFF, _END], np.uint8))


def decode_jpeg(raw: Bytes, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """
    Decode a JPEG whose data is whole.

    :param raw: the file, with an end marker.
    :param size: (width, height) that its header declares.
    :returns: (H, W) grey or (H, W, 3) BGR; None for one whose header simplejpeg does not accept, as
        of an unusual subsampling: OpenCV may, and nobody judges its data.
    :raises InputError: for damaged data.
    """
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(raw)
    except (ValueError, KeyError):
        return None
    if (width, height) != size:
        raise InputError('image: the compressed data is damaged: it declares two sizes')
    space = 'GRAY' if colors == 'Gray' else 'BGR'
    try:
        pixels = _decoded(raw, space)
    except ValueError as error:
        said = str(error)
        if not _is_harmless(said, raw):
            problem = said[said.find(': ') + 1 :].strip()
            raise InputError(f'image: the compressed data is damaged: {problem}') from error
        pixels = _decoded(raw, space, strict=False)
    return pixels[..., 0] if space == 'GRAY' else pixels


def _decoded(raw: Bytes, space: str, *, strict: bool = True) -> NDArray[np.uint8]:
    return np.asarray(simplejpeg.decode_jpeg(raw, space, strict=strict), np.uint8)


def _is_harmless(said: str, raw: Bytes) -> bool:
    """Tell whether the decoder lost nothing; what it says is the first thing that it noticed."""
    found = _EXTRANEOUS.search(said)
    if found is None:
        return _ODD_SCAN in said
    count, marker = int(found[1]), int(found[2], 16)
    data = raw.tobytes()
    if marker in _RESTARTS:
        return count <= _LONGEST_FILLING and _restarts_in_order(data)
    if marker == _END:
        before = data[: data.rfind(b'\xff\xd9')]
        zeros = len(before) - len(before.rstrip(b'\0'))
        return count <= zeros <= count + _READ_AHEAD
    return False


def _restarts_in_order(data: bytes) -> bool:
    """Tell whether no restart marker is missing in the scan of a JPEG that has one."""
    markers = re.findall(rb'\xff([\xd0-\xd7])', data[data.rfind(b'\xff\xda') :])
    return all(ord(marker) % 8 == number % 8 for number, marker in enumerate(markers))
