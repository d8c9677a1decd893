"""An image, the calibration of its camera, and where that camera is on the body."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class MountedImage:
    """An image and where its camera is on the body."""

    image: NDArray[np.uint8]
    """(H, W) grey or (H, W, 3) RGB."""
    camera: Camera
    body_from_camera: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    """(4, 4)."""
    name: str = ''
    """Which camera."""
