"""Kinds of JPEG pictures, and what can become of their data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Image = NDArray[np.uint8]

_QUALITY = cv2.IMWRITE_JPEG_QUALITY
_SAMPLING = getattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR', None)
"""None before OpenCV 4.7: only one subsampling is tried there."""
_RESTARTS = 34
"""Blocks of 16 pixels between restart markers: a row of the lounge's pictures."""


@dataclass(frozen=True)
class Kind:
    """How a picture is encoded."""

    name: str
    options: tuple[int, ...]
    grey: bool = False


def _subsampled(name: str, factor: str, quality: int) -> list[Kind]:
    if _SAMPLING is None:
        return []
    value = getattr(cv2, f'IMWRITE_JPEG_SAMPLING_FACTOR_{factor}')
    return [Kind(name, (_QUALITY, quality, _SAMPLING, value))]


COLOUR = Kind('colour', (_QUALITY, 90))
WITH_RESTARTS = Kind(
    'restart marker every row', (_QUALITY, 90, cv2.IMWRITE_JPEG_RST_INTERVAL, _RESTARTS)
)
_PROGRESSIVE = Kind('progressive', (_QUALITY, 90, cv2.IMWRITE_JPEG_PROGRESSIVE, 1))

DAMAGED = (
    COLOUR,
    Kind('grey', (_QUALITY, 90), grey=True),
    *_subsampled('colour without subsampling', '444', 95),
    WITH_RESTARTS,
    _PROGRESSIVE,
)
"""Those that are damaged."""

_COLOURED = (
    *(kind for factor in ('411', '420', '422', '440', '444') for quality in (30, 75, 90, 98)
      for kind in _subsampled(factor, factor, quality)),
    Kind('tables of its own', (_QUALITY, 90, cv2.IMWRITE_JPEG_OPTIMIZE, 1)),
    Kind('restart marker every block', (_QUALITY, 90, cv2.IMWRITE_JPEG_RST_INTERVAL, 1)),
    WITH_RESTARTS,
    _PROGRESSIVE,
)  # fmt: skip
WHOLE = tuple(Kind(k.name, k.options, grey) for k in _COLOURED for grey in (False, True))
"""Those that have to pass."""


def encode(image: Image, kind: Kind) -> Bytes:
    """Return a (H, W, 3) RGB image as a file."""
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if kind.grey else image[..., ::-1]
    return np.asarray(cv2.imencode('.jpg', stored, list(kind.options))[1]).ravel()


def begin_of_data(data: Bytes) -> int:
    """Return where the entropy-coded data of the first scan begins."""
    text = data.tobytes()
    scan = text.index(b'\xff\xda')
    return scan + 2 + int.from_bytes(text[scan + 2 : scan + 4], 'big')


def filled(data: Bytes) -> Bytes:
    """Add up to ten bytes to the data before each restart marker, as some webcams do."""
    random = np.random.default_rng(0)
    begin = begin_of_data(data)

    def more(found: re.Match[bytes]) -> bytes:
        return bytes(random.integers(0, 255, random.integers(1, 11)).tolist()) + found[0]

    text = data.tobytes()
    return np.frombuffer(text[:begin] + re.sub(rb'\xff[\xd0-\xd7]', more, text[begin:]), np.uint8)


Damage = Callable[[Bytes, np.random.Generator], Bytes]
"""Of the data without headers and end marker."""


def _change_bit(data: Bytes, random: np.random.Generator) -> Bytes:
    data[random.integers(len(data))] ^= np.uint8(1 << int(random.integers(8)))
    return data


def _change_bytes(data: Bytes, random: np.random.Generator) -> Bytes:
    places = random.integers(len(data), size=random.integers(1, 20))
    data[places] = random.integers(256, size=len(places))
    return data


def _change_block(data: Bytes, random: np.random.Generator) -> Bytes:
    at = int(random.integers(len(data)))
    block = data[at : at + int(random.integers(1, 2001))]
    block[:] = random.integers(256, size=len(block))
    return data


def _loses(least: int, most: int) -> Damage:
    def lose(data: Bytes, random: np.random.Generator) -> Bytes:
        at, lost = int(random.integers(len(data))), int(random.integers(least, most + 1))
        return np.delete(data, np.s_[at : at + lost])

    return lose


DAMAGES: dict[str, Damage] = {
    'a bit changed': _change_bit,
    '1 to 19 bytes changed': _change_bytes,
    '1 to 2,000 bytes in a row changed': _change_block,
    '5 to 40 bytes lost': _loses(5, 40),
    '100 to 4,000 bytes lost': _loses(100, 4000),
}


def damaged(data: Bytes, damage: Damage, random: np.random.Generator) -> Bytes:
    """Damage the data of a file; its headers and its end marker stay."""
    begin, end = begin_of_data(data), len(data) - 2
    return np.concatenate([data[:begin], damage(data[begin:end].copy(), random), data[end:]])
