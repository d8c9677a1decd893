"""Image messages to arrays and back, held against every implementation on this machine."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from hloc_localizer.errors import InputError
from hloc_localizer.ros import image_bridge

DECODERS: list[Any] = [image_bridge.CodecDecoder]
if isinstance(image_bridge.decoder(), image_bridge.CvBridgeDecoder):
    DECODERS.append(image_bridge.CvBridgeDecoder)


@pytest.fixture(params=DECODERS, ids=lambda decoder: decoder.__name__)
def decode(request: pytest.FixtureRequest) -> image_bridge.Decoder:
    return request.param()


@pytest.fixture(scope='module')
def photograph(shared_data: Path) -> np.ndarray:
    """Return a real image, (256, 384, 3) RGB."""
    image = cv2.imread(str(shared_data / 'data' / 'facade' / 'images' / '0003.jpg'))
    return cv2.cvtColor(cv2.resize(image, (384, 256)), cv2.COLOR_BGR2RGB)


def _message(encoding: str, rows: np.ndarray, width: int, *, pad: int = 0) -> Image:
    """Wrap rows of values as a message whose rows end in ``pad`` bytes of rubbish."""
    raw = rows.reshape(rows.shape[0], -1).view(np.uint8)
    raw = np.pad(raw, ((0, 0), (0, pad)), constant_values=77)
    return Image(
        height=rows.shape[0],
        width=width,
        encoding=encoding,
        step=raw.shape[1],
        is_bigendian=0,
        data=array('B', raw.tobytes()),
    )


@pytest.mark.parametrize('pad', [0, 12])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8'])
def test_colour_encodings_become_rgb(
    decode: image_bridge.Decoder, photograph: np.ndarray, encoding: str, pad: int
) -> None:
    stored = photograph if encoding.startswith('rgb') else photograph[..., ::-1]
    if 'a' in encoding:
        stored = np.dstack([stored, np.full(stored.shape[:2], 9, np.uint8)])
    stored = np.ascontiguousarray(stored)
    decoded = decode(_message(encoding, stored, 384, pad=pad))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, photograph)


def test_grey_stays_grey(decode: image_bridge.Decoder, photograph: np.ndarray) -> None:
    grey = np.ascontiguousarray(photograph[..., 1])
    decoded = decode(_message('mono8', grey, 384, pad=5))
    np.testing.assert_array_equal(decoded, grey)


@pytest.mark.parametrize('encoding', ['mono16', 'rgb16'])
def test_sixteen_bits_become_eight(
    decode: image_bridge.Decoder, photograph: np.ndarray, encoding: str
) -> None:
    expected = photograph if encoding == 'rgb16' else photograph[..., 1]
    stored = np.ascontiguousarray(expected.astype(np.uint16) * 256 + 100)
    decoded = decode(_message(encoding, stored, 384)).astype(int)
    assert np.abs(decoded - expected).max() <= 1


@pytest.mark.parametrize(
    ('encoding', 'red', 'blue'),
    [
        ('bayer_rggb8', (0, 0), (1, 1)),
        ('bayer_bggr8', (1, 1), (0, 0)),
        ('bayer_gbrg8', (1, 0), (0, 1)),
        ('bayer_grbg8', (0, 1), (1, 0)),
    ],
)
def test_bayer_patterns_find_their_colours(
    decode: image_bridge.Decoder, encoding: str, red: tuple[int, int], blue: tuple[int, int]
) -> None:
    mosaic = np.full((16, 16), 90, np.uint8)  # green
    mosaic[red[0] :: 2, red[1] :: 2] = 200
    mosaic[blue[0] :: 2, blue[1] :: 2] = 30
    decoded = decode(_message(encoding, mosaic, 16))
    inner = decoded[4:-4, 4:-4].reshape(-1, 3)
    np.testing.assert_array_equal(inner, np.tile([200, 90, 30], (len(inner), 1)))


def test_yuv_is_decoded(decode: image_bridge.Decoder) -> None:
    """One grey pair in uyvy: U and V neutral, Y as given (ITU-R BT.601, 16 is black)."""
    rows = np.tile(np.array([128, 126, 128, 126], np.uint8), (4, 4))
    decoded = decode(_message('uyvy', rows, 8))
    assert decoded.shape == (4, 8, 3)
    assert np.abs(decoded.astype(int) - 128).max() <= 1  # (126 - 16) * 255 / 219


@pytest.mark.parametrize(
    'change',
    [
        {'encoding': 'hologram'},
        {'data': array('B', bytes(100))},
        {'step': 10},
        {'height': 4000},
    ],
    ids=['unknown encoding', 'truncated', 'short step', 'too high'],
)
def test_messages_that_do_not_fit_are_input_errors(
    decode: image_bridge.Decoder, photograph: np.ndarray, change: dict[str, Any]
) -> None:
    message = _message('rgb8', photograph, 384)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(InputError, match=r'^image') as raised:
        decode(message)
    assert '\n' not in str(raised.value)


def test_raw_messages_round_trip(decode: image_bridge.Decoder, photograph: np.ndarray) -> None:
    for image in (photograph, np.ascontiguousarray(photograph[..., 0])):
        message = image_bridge.encode_image(image, Header(frame_id='camera'))
        assert message.header.frame_id == 'camera'
        assert message.step * message.height == len(message.data)
        np.testing.assert_array_equal(decode(message), image)


def test_compressed_messages_round_trip(photograph: np.ndarray) -> None:
    for image in (photograph, np.ascontiguousarray(photograph[..., 0])):
        message = image_bridge.encode_compressed(image, Header(frame_id='camera'), quality=95)
        assert len(message.data) < image.size
        assert ' jpeg compressed ' in message.format
        decoded = image_bridge.decode_compressed(message)
        assert decoded.shape == image.shape
        assert np.abs(decoded.astype(int) - image).mean() < 4.0


def test_damaged_compressed_messages_are_input_errors() -> None:
    for data in (b'', b'not an image', b'\xff\xd8\xff'):
        with pytest.raises(InputError):
            image_bridge.decode_compressed(CompressedImage(format='jpeg', data=array('B', data)))


def test_only_grey_and_rgb_bytes_become_messages() -> None:
    for image in (np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2), np.float32)):
        with pytest.raises(InputError, match='expected'):
            image_bridge.encode_image(image, Header())


def test_the_decoder_of_this_machine_decodes(photograph: np.ndarray) -> None:
    message = image_bridge.encode_image(photograph, Header())
    np.testing.assert_array_equal(image_bridge.decode_image(message), photograph)
