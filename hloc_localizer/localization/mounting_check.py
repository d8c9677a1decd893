"""Whether two cameras are mounted as was said: by where each of them, alone, puts the other."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]

_MIN_MOMENTS = 8
_MAX_MOMENTS = 40
_TOLERANCE_M, _TOLERANCE_DEG = 0.1, 2.0
"""More than two single images are off against each other in a good map."""
_SIGMAS = 4.0
_MAD_TO_SIGMA = 1.4826


class MountingEstimate:
    """How far a camera is from where another one should see it, as a median over moments."""

    def __init__(self) -> None:
        """Begin without moments."""
        self._errors: deque[Array] = deque(maxlen=_MAX_MOMENTS)

    @property
    def moments(self) -> int:
        """How many it has seen and still knows."""
        return len(self._errors)

    def add(self, one_from_other: Array, map_from_one: Array, map_from_other: Array) -> None:
        """
        Take over a moment.

        :param one_from_other: (4, 4) as was said.
        :param map_from_one: (4, 4) by the image of the one alone.
        :param map_from_other: (4, 4) by that of the other.
        """
        found = transforms.invert(map_from_one) @ map_from_other
        error = transforms.invert(one_from_other) @ found
        rotation = transforms.rotvec_from_rotation(error[:3, :3])
        self._errors.append(np.concatenate([error[:3, 3], rotation]))

    def off(self) -> tuple[float, float] | None:
        """Return metres and degrees, if they are surely more than single images are off."""
        if len(self._errors) < _MIN_MOMENTS:
            return None
        errors = np.array(self._errors)
        median = np.median(errors, axis=0)
        spread = _MAD_TO_SIGMA * np.median(np.abs(errors - median), axis=0)
        sigma = _SIGMAS * spread / np.sqrt(len(errors))
        metres, radians = (float(np.linalg.norm(part)) for part in (median[:3], median[3:]))
        degrees = float(np.degrees(radians))
        far = metres > _TOLERANCE_M and metres > float(np.linalg.norm(sigma[:3]))
        turned = degrees > _TOLERANCE_DEG and radians > float(np.linalg.norm(sigma[3:]))
        return (metres, degrees) if far or turned else None
