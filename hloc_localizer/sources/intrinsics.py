"""Where a calibration comes from, and a first guess where a recording has none."""

from __future__ import annotations

import math

from hloc_localizer.geometry.camera import Camera

CAMERA_INFO = 'camera_info'
FILE = 'file'
EXIF = 'exif'
ESTIMATED = 'estimated'


def needs_refining(origin: str) -> bool:
    """Tell whether a calibration of this origin is only a first guess of the focal length."""
    return origin in (EXIF, ESTIMATED)


def estimated_camera(width: int, height: int, field_of_view_deg: float) -> Camera:
    """Guess a camera without distortion by the field of view along the longer side."""
    focal = 0.5 * max(width, height) / math.tan(math.radians(field_of_view_deg) / 2.0)
    return uncalibrated_camera(width, height, focal)


def uncalibrated_camera(width: int, height: int, focal_px: float) -> Camera:
    """Make a camera of a focal length alone, with a coefficient of distortion to be refined."""
    centre = ((width - 1) / 2.0, (height - 1) / 2.0)
    return Camera('SIMPLE_RADIAL', width, height, (focal_px, *centre, 0.0))
