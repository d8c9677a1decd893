"""Whether the cameras still sit on the body where they sat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.mounted_image import MountedImage

_M_PER_S, _M = 1.0, 0.05
_DEG_PER_S, _DEG = 90.0, 5.0
"""A camera is moved no quicker on its robot, or it sees nothing; some is allowed at any time."""


class Mountings:
    """
    Remembers the mounting of each camera and notices when one jumps.

    TF can be wrong for a while: ``robot_state_publisher`` puts joints at zero until it hears of
    them. A pose of the body that was found with another mounting is then a wrong one.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._last: dict[str, tuple[int, NDArray[np.float64]]] = {}

    def reset(self) -> None:
        """Forget all of them."""
        self._last = {}

    def jump(self, images: Sequence[MountedImage], stamp_ns: int) -> str:
        """
        Take the mountings of a moment; tell which moved faster than a camera can.

        :param stamp_ns: of the moment; no older than the one before.
        :returns: a line for a person; empty when none did.
        """
        jumps = []
        for one in images:
            before = self._last.get(one.name)
            self._last[one.name] = stamp_ns, one.body_from_camera
            if before is None:
                continue
            seconds = (stamp_ns - before[0]) * 1e-9
            metres, radians = transforms.pose_distance(before[1], one.body_from_camera)
            degrees = float(np.degrees(radians))
            if metres > _M + _M_PER_S * seconds or degrees > _DEG + _DEG_PER_S * seconds:
                name = f' of {one.name}' if one.name else ''
                jumps.append(
                    f'the mounting{name} jumped by {metres:.2f} m, {degrees:.0f} deg in TF: '
                    'what was found with the other one is doubtful'
                )
        return '; '.join(jumps)
