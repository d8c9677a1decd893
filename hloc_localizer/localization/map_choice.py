"""Which of several maps a camera is in, when the present one no longer explains what it sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.result import Localization, Reason

_PATIENCE = 2
"""Refused images in a row before the other maps are asked."""

_VOTES = 2
"""Images that must be localized in one other map, and in no third, to change to it."""

_OF_THE_IMAGE = (
    Reason.NO_TEXTURE, Reason.BLURRED, Reason.BADLY_EXPOSED, Reason.CAMERA_DIFFERS,
)  # fmt: skip
"""Refusals that no other map could turn into a pose."""


class MapChoice:
    """
    Asks the other maps about images that the present one refuses.

    Floors of a building look alike. So one image is not enough to change, and an image that
    several others accept tells nothing.
    """

    def __init__(self, localizers: Sequence[Localizer], present: int = 0) -> None:
        """
        Begin in one of the maps.

        :param localizers: one for each map.
        """
        self._localizers = localizers
        self._present = present
        self._refused = 0
        self._votes = [0] * len(localizers)

    def look(self, image: NDArray[np.uint8], camera: Camera, found: Localization) -> int | None:
        """
        Take note of an image.

        :param found: what the present map said about it.
        :returns: the map to change to; None to stay.
        """
        if found.localized:
            self._refused, self._votes = 0, [0] * len(self._localizers)
            return None
        if found.reason in _OF_THE_IMAGE:
            return None
        self._refused += 1
        if self._refused < _PATIENCE:
            return None
        accepted = [
            number
            for number, localizer in enumerate(self._localizers)
            if number != self._present and localizer.localize(image, camera).localized
        ]
        if len(accepted) != 1:
            return None
        self._votes[accepted[0]] += 1
        return accepted[0] if self._votes[accepted[0]] >= _VOTES else None
