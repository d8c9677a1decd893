"""
JPEG pictures whose data is whole: what a decoder only warns of is refused unless it is harmless.

One wrong byte in the entropy-coded data makes a decoder lose its place: it reads other blocks than
were written, too many or too few, so that all that follows is shifted in the picture. libjpeg
warns of it on stderr and OpenCV hands out the picture. simplejpeg decodes with the same library,
to the same pixels, and hands out the first warning instead.
"""

from __future__ import annotations

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.sources.jpeg_repair import repaired

Bytes = NDArray[np.uint8]

_LONGEST_TRAILER = 4096
"""Bytes in which the end marker is looked for; cameras may append some of their own to it."""
_MOST_REPAIRS = 6
"""There are three kinds of harmless oddities, and cutting one off may take twice."""


def is_jpeg(raw: Bytes) -> bool:
    """Tell whether a file begins as a JPEG."""
    return raw[:2].tobytes() == b'\xff\xd8'


def ended(raw: Bytes) -> Bytes:
    """Return a JPEG with an end marker: some cameras never write it, or it was cut off."""
    if b'\xff\xd9' in raw[-_LONGEST_TRAILER:].tobytes():
        return raw
    return np.append(raw, np.array([0xFF, 0xD9], np.uint8))


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
    pixels = _decoded(raw, space)
    return pixels[..., 0] if space == 'GRAY' else pixels


def _decoded(raw: Bytes, space: str) -> NDArray[np.uint8]:
    """Decode what is whole but for harmless oddities: behind each, nothing else may be wrong."""
    for _ in range(_MOST_REPAIRS):
        try:
            return np.asarray(simplejpeg.decode_jpeg(raw, space, strict=True), np.uint8)
        except ValueError as error:
            said = str(error)
            better = repaired(said, raw.tobytes())
            if better is None:
                break
            raw = np.frombuffer(better, np.uint8)
    problem = said[said.find(': ') + 1 :].strip()
    raise InputError(f'image: the compressed data is damaged: {problem}')
