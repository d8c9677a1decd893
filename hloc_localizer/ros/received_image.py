"""Image messages of one moment, and when they came."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hloc_localizer.ros import messages


@dataclass(frozen=True)
class ReceivedImage:
    """An image message and when it came."""

    message: Any
    """``sensor_msgs/Image`` or ``CompressedImage``."""
    received: float
    """Seconds of the steady clock."""
    epoch: int
    """How often time had jumped until then."""

    @property
    def stamp_ns(self) -> int:
        """When it was taken."""
        return messages.stamp_to_ns(self.message.header.stamp)


Images = Mapping[int, ReceivedImage]
"""Those of one moment, by the number of their camera."""


def received_at(images: Images) -> float:
    """Return when the last image of a moment came, in seconds of the steady clock."""
    return max(image.received for image in images.values())


def ms_since(begin: float) -> float:
    """Return the milliseconds since a time of the steady clock."""
    return (time.monotonic() - begin) * 1e3
