"""Depth images waiting for the colour image of the same moment."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.sources import image_codec

_KEPT = 32
_LARGEST_OFFSET_NS = 5_000_000
"""Registered depth has the stamp of its colour image, or that of the same exposure."""


class DepthImages:
    """The last depth messages of a stream, by stamp."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Any] = OrderedDict()

    def put(self, stamp_ns: int, message: Any) -> None:
        """Keep an Image or CompressedImage message; the oldest goes when there are many."""
        self._messages[stamp_ns] = message
        if len(self._messages) > _KEPT:
            self._messages.popitem(last=False)

    def at(self, stamp_ns: int) -> NDArray[np.float32] | None:
        """
        Return the depth (H, W) in metres of a colour image, None where there is none.

        :raises InputError: when the depth image cannot be decoded.
        """
        nearest = min(self._messages, key=lambda each: abs(each - stamp_ns), default=None)
        if nearest is None or abs(nearest - stamp_ns) > _LARGEST_OFFSET_NS:
            return None
        message = self._messages[nearest]
        if hasattr(message, 'format'):
            return image_codec.decode_compressed_depth(message.data, message.format)
        return image_codec.decode_depth(
            message.encoding,
            message.width,
            message.height,
            message.step,
            message.is_bigendian,
            message.data,
        )
