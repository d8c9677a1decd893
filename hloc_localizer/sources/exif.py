"""The focal length that a digital camera wrote into its JPEG file (Exif 2.32, TIFF 6.0)."""

from __future__ import annotations

import math
import struct

_MOST_ENTRIES = 512
_DIAGONAL_35MM = math.hypot(36.0, 24.0)
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""By FocalPlaneResolutionUnit: inch, centimetre, millimetre, micrometre."""

_EXIF_FOLDER = 0x8769
_FOCAL_LENGTH = 0x920A
_PIXELS_ACROSS = 0xA002
_PLANE_RESOLUTION = 0xA20E
_PLANE_UNIT = 0xA210
_FOCAL_LENGTH_35MM = 0xA405
_SIZES = {3: (2, 'H'), 4: (4, 'I'), 5: (8, 'II')}
"""TIFF types short, long and rational: bytes and format."""


def focal_length_px(data: bytes, width: int, height: int) -> float | None:
    """
    Return the focal length in pixels that the EXIF of a JPEG file tells.

    The focal length in millimetres with the resolution of the sensor comes first, then the focal
    length of a 35 mm camera with the same diagonal field of view.

    :param data: the file, or its beginning.
    :param width: of the image as it is, which may be smaller than when it was taken.
    :returns: None where the file has no EXIF, or none that tells it.
    """
    try:
        tags = _tags(_exif_segment(data))
    except (struct.error, IndexError, ValueError):
        return None
    focal = _by_sensor(tags, width)
    if focal is None and tags.get(_FOCAL_LENGTH_35MM, 0.0) > 0.0:
        focal = tags[_FOCAL_LENGTH_35MM] * math.hypot(width, height) / _DIAGONAL_35MM
    longer = max(width, height)
    return focal if focal is not None and 0.1 * longer < focal < 50.0 * longer else None


def _by_sensor(tags: dict[int, float], width: int) -> float | None:
    focal_mm, resolution = tags.get(_FOCAL_LENGTH, 0.0), tags.get(_PLANE_RESOLUTION, 0.0)
    unit = _MM_PER_UNIT.get(int(tags.get(_PLANE_UNIT, 2.0)))
    taken = tags.get(_PIXELS_ACROSS, 0.0)
    if not (focal_mm > 0.0 and resolution > 0.0 and unit and taken > 0.0):
        return None
    return focal_mm * resolution / unit * width / taken


def _exif_segment(data: bytes) -> bytes:
    """Walk the segments of a JPEG to its APP1 with EXIF; return the TIFF structure in it."""
    if data[:2] != b'\xff\xd8':
        raise ValueError('not a JPEG')
    at = 2
    while data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
        length = struct.unpack_from('>H', data, at + 2)[0]
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b'Exif\0\0':
            return data[at + 10 : at + 2 + length]
        at += 2 + length
    raise ValueError('no EXIF')


def _tags(tiff: bytes) -> dict[int, float]:
    """Return the numbers of the main folder and of the EXIF folder, by tag."""
    order = {b'II': '<', b'MM': '>'}[tiff[:2]] if tiff[:2] in (b'II', b'MM') else ''
    if not order:
        raise ValueError('not a TIFF structure')
    first = struct.unpack_from(f'{order}I', tiff, 4)[0]
    tags = _folder(tiff, first, order)
    if _EXIF_FOLDER in tags:
        tags.update(_folder(tiff, int(tags[_EXIF_FOLDER]), order))
    return tags


def _folder(tiff: bytes, at: int, order: str) -> dict[int, float]:
    tags = {}
    count = min(struct.unpack_from(f'{order}H', tiff, at)[0], _MOST_ENTRIES)
    for number in range(count):
        entry = at + 2 + 12 * number
        tag, kind, length = struct.unpack_from(f'{order}HHI', tiff, entry)
        if kind not in _SIZES or length != 1:
            continue
        size, code = _SIZES[kind]
        place = entry + 8 if size <= 4 else struct.unpack_from(f'{order}I', tiff, entry + 8)[0]
        values = struct.unpack_from(f'{order}{code}', tiff, place)
        if len(values) == 1:
            tags[tag] = float(values[0])
        elif values[1]:
            tags[tag] = values[0] / values[1]
    return tags
