"""Refusing a reconstruction in which nothing could ever be localized."""

from __future__ import annotations

from typing import Any

from hloc_localizer.errors import HlocLocalizerError

MIN_POINTS_SEEN = 20
"""What some image must see."""


def require_points(reconstruction: Any, remedy: str) -> None:
    """
    Check that some image sees enough points.

    :param reconstruction: ``pycolmap.Reconstruction``.
    :param remedy: what to look at, for example ``check the poses``.
    :raises HlocLocalizerError: when none does, with the remedy.
    """
    most_seen = max((image.num_points3D for image in reconstruction.images.values()), default=0)
    if most_seen < MIN_POINTS_SEEN:
        raise HlocLocalizerError(
            f'no map could be built: no image sees more than {most_seen} points; {remedy}'
        )
