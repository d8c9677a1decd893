"""Image encodings: colours, padding, byte order, damage and bounds."""

from __future__ import annotations

import array
import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hloc_localizer.errors import InputError
from hloc_localizer.sources.image_codec import (
    decode_compressed,
    decode_compressed_depth,
    decode_depth,
    decode_image,
)


def scene(width: int = 48, height: int = 32) -> np.ndarray:
    """Make a smooth RGB image whose three channels differ."""
    y, x = np.mgrid[0:height, 0:width]
    red = 40 + 180 * x / width
    green = 60 + 120 * y / height
    blue = 220 - 150 * (x + y) / (width + height)
    return np.rint(np.stack([red, green, blue], axis=-1)).astype(np.uint8)


def decode(encoding: str, pixels: np.ndarray, *, padding: int = 0, big: bool = False) -> np.ndarray:
    """Decode pixels laid out as rows with some padding."""
    rows = pixels.astype(pixels.dtype.newbyteorder('>' if big else '<'))
    raw = rows.reshape(len(rows), -1).view(np.uint8)
    padded = np.pad(raw, ((0, 0), (0, padding)), constant_values=77)
    height, width = pixels.shape[:2]
    return decode_image(encoding, width, height, padded.shape[1], big, padded.tobytes())


CHANNELS = {
    'rgb8': [0, 1, 2],
    'bgr8': [2, 1, 0],
    '8UC3': [2, 1, 0],
    'rgba8': [0, 1, 2, 0],
    'bgra8': [2, 1, 0, 0],
    '8UC4': [2, 1, 0, 0],
}


@pytest.mark.parametrize('encoding', CHANNELS)
@pytest.mark.parametrize('padding', [0, 13])
def test_colour_channels_come_out_as_rgb(encoding: str, padding: int) -> None:
    rgb = scene()
    found = decode(encoding, rgb[..., CHANNELS[encoding]], padding=padding)
    np.testing.assert_array_equal(found, rgb)


@pytest.mark.parametrize('encoding', ['rgb16', 'bgr16', 'rgba16', 'bgra16'])
@pytest.mark.parametrize('big', [False, True])
def test_sixteen_bit_colours_keep_their_upper_byte(encoding: str, big: bool) -> None:
    rgb = scene()
    pixels = rgb[..., CHANNELS[f'{encoding[:-2]}8']].astype(np.uint16) * 256 + 99
    np.testing.assert_array_equal(decode(encoding, pixels, padding=6, big=big), rgb)


@pytest.mark.parametrize('encoding', ['mono8', '8UC1', 'MONO8'])
def test_grey_stays_grey(encoding: str) -> None:
    grey = scene()[..., 0]
    np.testing.assert_array_equal(decode(encoding, grey, padding=5), grey)


@pytest.mark.parametrize('big', [False, True])
def test_mono16_keeps_its_upper_byte(big: bool) -> None:
    grey = scene()[..., 0]
    found = decode('mono16', grey.astype(np.uint16) * 256 + 200, big=big)
    np.testing.assert_array_equal(found, grey)


def test_16uc1_is_stretched_to_the_range_it_uses() -> None:
    values = np.linspace(500, 1500, 48 * 32).reshape(32, 48).astype(np.uint16)
    found = decode('16UC1', values)
    assert (found.min(), found.max()) == (0, 255)
    assert abs(int(found[16, 0]) - 128) <= 2


def subsampled(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Y, and U and V of every second column, in the video range (BT.601)."""
    i420 = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    height, width = rgb.shape[:2]
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    u, v = (np.repeat(plane, 2, axis=0) for plane in chroma)
    return i420[:height], u, v


@pytest.mark.parametrize('encoding', ['uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'])
def test_packed_yuv_has_the_right_colours(encoding: str) -> None:
    rgb = scene()
    y, u, v = subsampled(rgb)
    packed = np.empty((*y.shape, 2), np.uint8)
    luma, chroma = (1, 0) if encoding in ('uyvy', 'yuv422') else (0, 1)
    packed[..., luma] = y
    packed[:, 0::2, chroma] = u
    packed[:, 1::2, chroma] = v
    found = decode(encoding, packed, padding=8)
    assert np.abs(found.astype(int) - rgb).max() <= 12


@pytest.mark.parametrize('encoding', ['nv12', 'nv21'])
def test_planar_yuv_has_the_right_colours(encoding: str) -> None:
    rgb = scene()
    y, u, v = subsampled(rgb)
    pair = (u, v) if encoding == 'nv12' else (v, u)
    chroma = np.stack([plane[::2] for plane in pair], axis=-1).reshape(len(y) // 2, -1)
    planes = np.concatenate([y, chroma])
    found = decode_image(encoding, 48, 32, 48, 0, planes.tobytes())
    assert np.abs(found.astype(int) - rgb).max() <= 12


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
def test_bayer_patterns_have_the_right_colours(pattern: str, bits: int) -> None:
    rgb = scene()
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for at, colour in enumerate(pattern):
        window = np.s_[at // 2 :: 2, at % 2 :: 2]
        mosaic[window] = rgb[(*window, 'rgb'.index(colour))]
    pixels = mosaic if bits == 8 else mosaic.astype(np.uint16) * 256
    found = decode(f'bayer_{pattern}{bits}', pixels, padding=4)
    inside = np.s_[2:-2, 2:-2]
    assert np.abs(found[inside].astype(int) - rgb[inside]).max() <= 8


def test_data_may_be_any_buffer() -> None:
    grey = scene()[..., 0]
    raw = grey.tobytes()
    for data in (raw, bytearray(raw), memoryview(raw), array.array('B', raw), grey.reshape(-1)):
        np.testing.assert_array_equal(decode_image('mono8', 48, 32, 48, 0, data), grey)


def test_the_last_row_may_lack_its_padding() -> None:
    raw = np.pad(scene()[..., 0], ((0, 0), (0, 16))).tobytes()[:-16]
    np.testing.assert_array_equal(decode_image('mono8', 48, 32, 64, 0, raw), scene()[..., 0])


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (('mono9', 4, 4, 4, 0, bytes(16)), "encoding 'mono9' is not known; known: mono8"),
        (('', 4, 4, 4, 0, bytes(16)), "encoding '' is not known"),
        (('rgb8', 4, 4, 8, 0, bytes(48)), 'step 8 is too short for 4 pixels of rgb8'),
        (('mono8', 540, 4, 1620, 0, bytes(6480)), 'step 1620 is too long for 540 pixels'),
        (('mono8', 4, 4, 4, 0, bytes(15)), 'data is truncated: 15 bytes, 4 x 4 expected'),
        (('mono8', 4, 4, 4, 0, b''), 'data is'),
        (('mono8', 0, 4, 4, 0, bytes(16)), 'size 0x4'),
        (('mono8', 2**31, 2**31, 2**31, 0, bytes(16)), 'size 2147483648x2147483648'),
        (('mono8', 4, 4, 2**40, 0, bytes(16)), 'too long'),
        (('yuyv', 3, 4, 6, 0, bytes(24)), 'needs an even width'),
        (('nv12', 4, 3, 4, 0, bytes(24)), 'needs even width and height'),
    ],
)
def test_bad_raw_image_is_one_clear_line(arguments: tuple, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_image(*arguments)
    assert problem in str(caught.value)
    assert '\n' not in str(caught.value)


def encoded(suffix: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.parametrize('suffix', ['.png', '.webp', '.bmp'])
def test_compressed_colours_come_out_as_rgb(suffix: str) -> None:
    rgb = scene()
    found = decode_compressed(encoded(suffix, rgb[..., ::-1]), 'bgr8; png compressed bgr8')
    tolerance = 12 if suffix == '.webp' else 0
    assert np.abs(found.astype(int) - rgb).max() <= tolerance


def test_jpeg_colours_come_out_as_rgb() -> None:
    rgb = scene()
    found = decode_compressed(encoded('.jpg', rgb[..., ::-1]), 'jpeg')
    assert np.abs(found.astype(int) - rgb).max() <= 8


def test_payload_that_says_it_is_rgb_is_not_exchanged() -> None:
    rgb = scene()
    found = decode_compressed(encoded('.png', rgb), 'rgb8; png compressed rgb8')
    np.testing.assert_array_equal(found, rgb)


def test_compressed_grey_alpha_and_sixteen_bits() -> None:
    rgb = scene()
    grey = rgb[..., 1]
    np.testing.assert_array_equal(decode_compressed(encoded('.png', grey)), grey)
    bgra = np.dstack([rgb[..., ::-1], grey])
    np.testing.assert_array_equal(decode_compressed(encoded('.png', bgra)), rgb)
    sixteen = grey.astype(np.uint16) * 256 + 3
    np.testing.assert_array_equal(decode_compressed(encoded('.png', sixteen)), grey)


def test_compressed_mosaic_is_demosaiced() -> None:
    mosaic = np.zeros((32, 48), np.uint8)
    mosaic[0::2, 0::2] = 200  # red only
    found = decode_compressed(encoded('.png', mosaic), 'bayer_rggb8; png compressed bayer_rggb8')
    assert found.shape == (32, 48, 3)
    assert found[8:-8, 8:-8, 0].min() == 200
    assert found[8:-8, 8:-8, 1:].max() == 0


def png_of_declared_size(width: int, height: int) -> bytes:
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack('>I', 13) + header + struct.pack('>I', zlib.crc32(header))
    return b'\x89PNG\r\n\x1a\n' + chunk


@pytest.mark.parametrize(
    ('data', 'problem'),
    [
        (b'', 'empty'),
        (b'GIF89a' + bytes(100), 'neither JPEG, PNG, WebP nor BMP'),
        (b'\xff\xd8\xff', 'truncated'),
        (b'\xff\xd8' + bytes(50), 'damaged'),
        (b'\x89PNG\r\n\x1a\n', 'truncated'),
        (png_of_declared_size(200_000, 200_000), 'size 200000x200000'),
        (png_of_declared_size(100, 100), 'damaged'),
    ],
)
def test_bad_compressed_image_is_one_clear_line(data: bytes, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_compressed(data, 'jpeg')
    assert problem in str(caught.value)


def test_a_cut_jpeg_is_refused_but_not_one_that_only_lacks_its_end_marker() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    whole = encoded('.jpg', rgb)
    assert whole.endswith(b'\xff\xd9')
    np.testing.assert_array_equal(decode_compressed(whole[:-2]), decode_compressed(whole))
    for share in (0.2, 0.5, 0.9):
        with pytest.raises(InputError, match='premature end of data'):
            decode_compressed(whole[: int(len(whole) * share)])


def test_depth_topic_chosen_as_colour_is_refused() -> None:
    with pytest.raises(InputError, match='compressedDepth holds depth'):
        decode_compressed(bytes(100), '16UC1; compressedDepth png')


def test_depth_in_millimetres_and_metres() -> None:
    millimetres = np.array([[0, 1500], [65535, 1]], np.uint16)
    expected = np.array([[np.nan, 1.5], [65.535, 0.001]])
    found = decode_depth('16UC1', 2, 2, 4, 0, millimetres.tobytes())
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    compressed = bytes(12) + encoded('.png', millimetres)
    found = decode_compressed_depth(compressed, '16UC1; compressedDepth png')
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    metres = np.array([[np.inf, 1.5], [-1.0, np.nan]], '>f4')
    found = decode_depth('32FC1', 2, 2, 8, 1, metres.tobytes())
    np.testing.assert_array_equal(found, np.array([[np.nan, 1.5], [np.nan, np.nan]], np.float32))


def test_quantised_depth_follows_its_header() -> None:
    # compressed_depth_image_transport: value = a / depth + b, with a = q (q + 1), b = 1 - q / max
    a, b = 100.0 * 101.0, 1.0 - 100.0 / 10.0
    depth = np.array([[0.5, 1.0], [2.0, 4.0]])
    values = np.rint(a / depth + b).astype(np.uint16)
    values[0, 0] = 0
    data = struct.pack('<iff', 0, a, b) + encoded('.png', values)
    found = decode_compressed_depth(data, '32FC1; compressedDepth png')
    assert np.isnan(found[0, 0])
    np.testing.assert_allclose(found.ravel()[1:], [1.0, 2.0, 4.0], rtol=1e-3)


@pytest.mark.parametrize(
    'data', [b'', bytes(5), bytes(12), bytes(12) + b'\x89PNG\r\n\x1a\n', bytes(40)]
)
def test_bad_depth_is_one_clear_line(data: bytes) -> None:
    with pytest.raises(InputError, match='image: '):
        decode_compressed_depth(data, '16UC1; compressedDepth png')


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CHANNELS)),
    st.integers(1, 17),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 2**32 - 1),
)
def test_any_size_and_padding_keeps_every_pixel(
    encoding: str, width: int, height: int, padding: int, seed: int
) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    found = decode(encoding, rgb[..., CHANNELS[encoding]], padding=padding)
    np.testing.assert_array_equal(found, rgb)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_cut_or_changed_files_never_raise_anything_else(data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from(['.jpg', '.png', '.webp', '.bmp']))
    raw = bytearray(encoded(suffix, scene()))
    for _ in range(data.draw(st.integers(0, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(InputError):
        image = decode_compressed(cut, 'jpeg')
        assert image.dtype == np.uint8
        assert image.ndim in (2, 3)
