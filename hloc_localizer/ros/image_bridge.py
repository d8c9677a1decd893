"""Image messages to arrays and back: cv_bridge where it is installed and works, else our codec."""

from __future__ import annotations

import functools
from array import array
from typing import Protocol

import cv2
import numpy as np
import rclpy.logging
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from hloc_localizer.errors import InputError
from hloc_localizer.sources import image_codec

Array = NDArray[np.uint8]

# What cv_bridge converts to grey or RGB; the others it does not know or hands over as they are.
_CV_BRIDGE_TARGETS = {
    **dict.fromkeys(('mono8', 'mono16'), 'mono8'),
    **dict.fromkeys(('rgb8', 'bgr8', 'rgba8', 'bgra8'), 'rgb8'),
    **dict.fromkeys(('rgb16', 'bgr16', 'rgba16', 'bgra16'), 'rgb8'),
    **dict.fromkeys((f'bayer_{order}8' for order in ('rggb', 'bggr', 'gbrg', 'grbg')), 'rgb8'),
}


class Decoder(Protocol):
    """Makes an array of a raw image message."""

    def __call__(self, message: Image) -> Array:
        """
        Decode a ``sensor_msgs/Image``.

        :returns: (H, W) grey or (H, W, 3) RGB.
        :raises InputError: for an unknown encoding, or data and sizes that do not fit.
        """
        ...


class CodecDecoder:
    """Decodes with :mod:`hloc_localizer.sources.image_codec`."""

    def __call__(self, message: Image) -> Array:
        """Decode a message, see :class:`Decoder`."""
        return image_codec.decode_image(
            message.encoding,
            message.width,
            message.height,
            message.step,
            message.is_bigendian,
            message.data,
        )


class CvBridgeDecoder:
    """
    Decodes with cv_bridge what cv_bridge can convert, and the rest with the codec.

    :raises Exception: of any kind, when the installed cv_bridge does not work, as where it was
        compiled for another NumPy or OpenCV than those imported here.
    """

    def __init__(self) -> None:
        from cv_bridge import CvBridge

        self._bridge = CvBridge()
        self._codec = CodecDecoder()
        pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        if not np.array_equal(self(encode_image(pixels, Header())), pixels):
            raise RuntimeError('it changes the pixels')

    def __call__(self, message: Image) -> Array:
        """Decode a message, see :class:`Decoder`."""
        target = _CV_BRIDGE_TARGETS.get(message.encoding)
        if target is None:
            return self._codec(message)
        try:
            image = np.asarray(self._bridge.imgmsg_to_cv2(message, target), np.uint8)
        except Exception as error:  # cv_bridge lets those of NumPy, OpenCV and Boost through
            raise InputError(f'image: {message.encoding} cannot be decoded: {error}') from error
        if image.shape[:2] != (message.height, message.width):
            raise InputError(f'image: step {message.step} is too short for {message.width} pixels')
        return image


@functools.lru_cache(maxsize=1)
def decoder() -> Decoder:
    """Return the decoder of this machine, chosen once."""
    try:
        return CvBridgeDecoder()
    except ModuleNotFoundError as error:
        if error.name != 'cv_bridge':
            _warn(error)
    except Exception as error:
        _warn(error)
    return CodecDecoder()


def decode_image(message: Image) -> Array:
    """Decode a raw image message, see :class:`Decoder`."""
    return decoder()(message)


def decode_compressed(message: CompressedImage) -> Array:
    """
    Decode a ``sensor_msgs/CompressedImage``.

    By the codec on every machine: it looks at the size an image declares before memory is taken.

    :returns: (H, W) grey or (H, W, 3) RGB.
    :raises InputError: for an unknown format or data that cannot be decoded.
    """
    return image_codec.decode_compressed(message.data, message.format)


def encode_image(image: Array, header: Header) -> Image:
    """
    Make a ``sensor_msgs/Image`` with encoding mono8 or rgb8.

    :param image: (H, W) grey or (H, W, 3) RGB.
    """
    height, width = image.shape[:2]
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=_encoding(image),
        step=width * (image.size // max(height * width, 1)),
        data=array('B', np.ascontiguousarray(image).tobytes()),
    )


def encode_compressed(image: Array, header: Header, *, quality: int = 90) -> CompressedImage:
    """
    Make a JPEG ``sensor_msgs/CompressedImage``, its format as compressed_image_transport writes it.

    :param image: (H, W) grey or (H, W, 3) RGB.
    :param quality: of the JPEG, 0 to 100.
    """
    encoding = _encoding(image)
    stored = image if encoding == 'mono8' else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode('.jpg', stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not written:
        raise InputError(f'image of shape {image.shape} cannot be compressed as JPEG')
    name = 'mono8' if encoding == 'mono8' else 'bgr8'
    return CompressedImage(
        header=header, format=f'{encoding}; jpeg compressed {name}', data=array('B', data.tobytes())
    )


def _encoding(image: Array) -> str:
    if image.dtype == np.uint8 and image.ndim == 2:
        return 'mono8'
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return 'rgb8'
    raise InputError(
        f'image of shape {image.shape} and type {image.dtype}: expected (H, W) or (H, W, 3) uint8'
    )


def _warn(error: Exception) -> None:
    rclpy.logging.get_logger('image_bridge').warning(
        f'cv_bridge is installed but does not work ({error}); decoding without it. Most often the '
        'numpy or OpenCV imported is not the one that it was compiled for'
    )
