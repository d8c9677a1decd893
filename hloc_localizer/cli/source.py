"""What the commands that localize ask of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hloc_localizer.errors import InputError

if TYPE_CHECKING:
    from hloc_localizer.maps import Manifest
    from hloc_localizer.sources import Source


def require_calibration(source: Source, manifest: Manifest) -> None:
    """
    Check that a recording's calibration is known, from itself or from the map.

    A map that was built from the same uncalibrated camera has found its calibration; the first
    guess is then the same, and the localizer knows it again.

    :raises InputError: naming the remedy, where the calibration would be a guess.
    """
    known = list(manifest.recorded_cameras.values())
    for camera in source.cameras.values():
        if source.calibration_problem and not any(camera.is_close_to(each) for each in known):
            raise InputError(source.calibration_problem)
