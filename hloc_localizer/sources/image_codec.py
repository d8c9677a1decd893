"""Image messages to arrays: every common raw encoding, compressed images, compressed depth."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import MAX_PIXELS, MAX_SIDE
from hloc_localizer.sources.jpeg import decode_jpeg, ended, is_jpeg

Image = NDArray[np.uint8]

_MOST_PADDING = 256
"""Bytes that may follow the pixels of a row; of long rows a quarter."""

_DIRECT: dict[str, tuple[int, int | None]] = {
    # encoding: (channels, OpenCV conversion to RGB or None)
    'mono8': (1, None),
    '8uc1': (1, None),
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    '8uc3': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    '8uc4': (4, cv2.COLOR_BGRA2RGB),
    'uyvy': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuyv': (2, cv2.COLOR_YUV2RGB_YUYV),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUYV),
    'yuy2': (2, cv2.COLOR_YUV2RGB_YUYV),
    # OpenCV names a Bayer pattern by the second row, from its second pixel on.
    'bayer_rggb': (1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr': (1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg': (1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg': (1, cv2.COLOR_BayerGB2RGB),
}
_PLANAR = {'nv12': cv2.COLOR_YUV2RGB_NV12, 'nv21': cv2.COLOR_YUV2RGB_NV21}
_DEPTH = {'16uc1': 'u2', 'mono16': 'u2', '32fc1': 'f4'}

ENCODINGS = (
    'mono8 mono16 8UC1 8UC3 8UC4 16UC1 rgb8 bgr8 rgba8 bgra8 rgb16 bgr16 rgba16 bgra16 yuv422 uyvy '
    'yuv422_yuy2 yuyv nv12 nv21 bayer_{rggb,bggr,gbrg,grbg}{8,16}'
)
"""The encodings of :func:`decode_image`, for messages to people."""


def decode_image(
    encoding: str, width: int, height: int, step: int, is_bigendian: bool | int, data: Any
) -> Image:
    """
    Decode the fields of a ``sensor_msgs/Image`` (sensor_msgs/image_encodings.hpp).

    Sixteen bits become eight as in cv_bridge, by the upper byte; ``16UC1`` has no defined range
    and is stretched to that of the image.

    :param step: bytes of a row, padding included.
    :param data: anything with the buffer protocol.
    :returns: (H, W) grey or (H, W, 3) RGB.
    :raises InputError: for an unknown encoding, sizes that do not fit, or too little data.
    """
    name = encoding.strip().lower()
    _check_size(width, height)
    if name in _PLANAR:
        if width % 2 or height % 2:
            raise InputError(f'image: {encoding} needs even width and height')
        planes = _rows(name, width, height * 3 // 2, step, 1, np.dtype(np.uint8), data)
        return _image(cv2.cvtColor(planes, _PLANAR[name]))
    if name in ('mono16', '16uc1'):
        values = _rows(encoding, width, height, step, 1, _sixteen_bits(is_bigendian), data)
        return _stretch(values) if name == '16uc1' else _upper_byte(values)
    base, sixteen = _split_depth(name)
    if base not in _DIRECT:
        raise InputError(f"image: encoding '{encoding}' is not known; known: {ENCODINGS}")
    channels, conversion = _DIRECT[base]
    dtype = _sixteen_bits(is_bigendian) if sixteen else np.dtype(np.uint8)
    if base[:3] in ('uyv', 'yuv', 'yuy') and width % 2:
        raise InputError(f'image: {encoding} needs an even width')
    pixels = _rows(encoding, width, height, step, channels, dtype, data)
    pixels = _upper_byte(pixels) if sixteen else pixels
    return _image(pixels if conversion is None else cv2.cvtColor(pixels, conversion))


def decode_compressed(data: Any, image_format: str = '') -> Image:
    """
    Decode the fields of a ``sensor_msgs/CompressedImage`` that holds JPEG, PNG, WebP or BMP.

    The orientation in EXIF is not applied: a calibration belongs to the pixels as they lie.

    :param data: anything with the buffer protocol.
    :param image_format: as compressed_image_transport writes it, ``bgr8; jpeg compressed bgr8``.
    :returns: (H, W) grey or (H, W, 3) RGB.
    :raises InputError: for an unknown format or data that cannot be decoded.
    """
    if 'compresseddepth' in image_format.lower():
        raise InputError('image: compressedDepth holds depth, not colour; choose another topic')
    pixels = _decode_file(_bytes(data))
    if pixels.dtype == np.uint16:
        pixels = _upper_byte(pixels)
    if pixels.dtype != np.uint8:
        raise InputError(f'image: compressed values of type {pixels.dtype} are no colour image')
    source, _, target = image_format.lower().partition('compressed')
    if pixels.ndim == 2:
        pattern = _split_depth(source.partition(';')[0].strip())[0]
        if pattern.startswith('bayer_') and pattern in _DIRECT:
            return _image(cv2.cvtColor(pixels, _DIRECT[pattern][1] or 0))
        return _image(pixels)
    if pixels.shape[2] == 4:
        return _image(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB))
    if target.strip().startswith('rgb'):
        return _image(pixels)  # written with red and blue exchanged, and saying so
    return _image(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def decode_depth(
    encoding: str, width: int, height: int, step: int, is_bigendian: bool | int, data: Any
) -> NDArray[np.float32]:
    """
    Decode a depth ``sensor_msgs/Image`` (REP-118: 16UC1 millimetres, 32FC1 metres).

    :returns: (H, W) metres, NaN where unknown.
    :raises InputError: for another encoding or too little data.
    """
    _check_size(width, height)
    if encoding.strip().lower() not in _DEPTH:
        raise InputError(f"depth image: encoding '{encoding}' is not known; known: 16UC1, 32FC1")
    dtype: np.dtype[Any] = np.dtype(
        f'{">" if is_bigendian else "<"}{_DEPTH[encoding.strip().lower()]}'
    )
    return _metres(_rows(encoding, width, height, step, 1, dtype, data))


def decode_compressed_depth(data: Any, image_format: str) -> NDArray[np.float32]:
    """
    Decode a depth ``sensor_msgs/CompressedImage``.

    compressed_depth_image_transport writes 12 bytes (format, and for 32FC1 the quantisation
    ``a``, ``b`` with depth = a / (value - b)), then a PNG of 16 bits. A plain 16-bit PNG is
    millimetres.

    :returns: (H, W) metres, NaN where unknown.
    :raises InputError: for data that cannot be decoded.
    """
    raw = _bytes(data)
    transport = 'compresseddepth' in image_format.lower()
    if transport and len(raw) < 12:
        raise InputError('depth image: compressedDepth data is truncated')
    values = _decode_file(raw[12:] if transport else raw)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise InputError('depth image: expected a PNG of 16 bits with one channel')
    if not (transport and image_format.strip().upper().startswith('32FC1')):
        return _metres(values)
    a, b = struct.unpack('<ff', raw[4:12].tobytes())
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    depth[values == 0] = np.nan
    return _metres(depth)


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE) or width * height > MAX_PIXELS:
        raise InputError(f'image: size {width}x{height} is not between 1x1 and {MAX_PIXELS} pixels')


def _sixteen_bits(is_bigendian: bool | int) -> np.dtype[Any]:
    return np.dtype('>u2' if is_bigendian else '<u2')


def _split_depth(name: str) -> tuple[str, bool]:
    """Split ``bayer_rggb16`` into the key of its 8-bit layout and whether it has 16 bits."""
    if name.startswith('bayer_'):
        return name.rstrip('0123456789'), name.endswith('16')
    return (f'{name[:-2]}8', True) if name.endswith('16') else (name, False)


def _bytes(data: Any) -> NDArray[np.uint8]:
    try:
        if isinstance(data, np.ndarray):
            data = np.ascontiguousarray(data)
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise InputError('image: the data is empty or not bytes') from error


def _rows(
    encoding: str, width: int, rows: int, step: int, channels: int, dtype: np.dtype[Any], data: Any
) -> NDArray[Any]:
    """Return the pixels (rows, width[, channels]) without the padding of the rows, contiguous."""
    raw = _bytes(data)
    needed = width * channels * dtype.itemsize
    if step < needed:
        raise InputError(
            f'image: step {step} is too short for {width} pixels of {encoding} ({needed} bytes)'
        )
    if step > needed + max(needed // 4, _MOST_PADDING):
        # Read on, it would be a picture squeezed to a part of its width, and lead to wrong poses.
        raise InputError(
            f'image: step {step} is too long for {width} pixels of {encoding} ({needed} bytes): '
            'encoding or width is wrong'
        )
    if len(raw) < step * (rows - 1) + needed:
        raise InputError(
            f'image: data is truncated: {len(raw)} bytes, {step} x {rows} expected for {encoding}'
        )
    strided = np.lib.stride_tricks.as_strided(raw, (rows, needed), (step, 1), writeable=False)
    values = np.ascontiguousarray(strided).view(dtype).astype(dtype.newbyteorder('='), copy=False)
    return values.reshape((rows, width) if channels == 1 else (rows, width, channels))


def _upper_byte(values: NDArray[Any]) -> Image:
    return _image(values >> 8)


def _stretch(values: NDArray[Any]) -> Image:
    low, high = int(values.min()), int(values.max())
    scale = 255.0 / max(high - low, 1)
    return _image(np.rint((values.astype(np.float32) - low) * scale))


def _metres(values: NDArray[Any]) -> NDArray[np.float32]:
    depth = values.astype(np.float32)
    if values.dtype.kind == 'u':
        depth *= np.float32(0.001)
    depth[~(np.isfinite(depth) & (depth > 0.0))] = np.nan
    return depth


def _image(pixels: Any) -> Image:
    return np.asarray(pixels, np.uint8)


def _decode_file(raw: NDArray[np.uint8]) -> NDArray[Any]:
    """Decode to grey, BGR or BGRA, as OpenCV does."""
    size = _declared_size(raw[: 1 << 20].tobytes())
    _check_size(*size)
    if is_jpeg(raw):
        raw = ended(raw)
        pixels = decode_jpeg(raw, size)
        if pixels is not None:
            return pixels
    try:
        pixels = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError('image: the compressed data is damaged') from error
    if pixels is None:
        raise InputError('image: the compressed data is damaged')
    return np.asarray(pixels)


def _declared_size(head: bytes) -> tuple[int, int]:
    """Return (width, height) that a compressed image declares, before memory is taken for it."""
    for magic, size_of in _SIZE_OF.items():
        if head.startswith(magic):
            try:
                return size_of(head)
            except (struct.error, IndexError) as error:
                raise InputError('image: the compressed data is truncated') from error
    raise InputError('image: the compressed data is empty or neither JPEG, PNG, WebP nor BMP')


def _png_size(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from('>II', head, 16)
    return width, height


def _bmp_size(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from('<ii', head, 18)
    return abs(width), abs(height)


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b'VP8X':
        return 1 + int.from_bytes(head[24:27], 'little'), 1 + int.from_bytes(head[27:30], 'little')
    if kind == b'VP8L':
        bits = struct.unpack_from('<I', head, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from('<HH', head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(head: bytes) -> tuple[int, int]:
    """Walk the segments to the first start-of-frame (ISO/IEC 10918-1, annex B)."""
    at = 2
    while True:
        if head[at] != 0xFF:
            raise InputError('image: the compressed data is damaged')
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from('>HH', head, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from('>H', head, at + 2)[0]


_SIZE_OF: dict[bytes, Callable[[bytes], tuple[int, int]]] = {
    b'\xff\xd8': _jpeg_size,
    b'\x89PNG\r\n\x1a\n': _png_size,
    b'RIFF': _webp_size,
    b'BM': _bmp_size,
}
