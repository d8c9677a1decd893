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

    def have_jumped(self, images: Sequence[MountedImage], stamp_ns: int) -> bool:
        """
        Take the mountings of a moment; tell whether one moved faster than a camera can.

        :param stamp_ns: of the moment; no older than the one before.
        """
        jumped = False
        for one in images:
            before = self._last.get(one.name)
            self._last[one.name] = stamp_ns, one.body_from_camera
            if before is not None:
                seconds = (stamp_ns - before[0]) * 1e-9
                metres, radians = transforms.pose_distance(before[1], one.body_from_camera)
                too_far = metres > _M + _M_PER_S * seconds
                too_much = np.degrees(radians) > _DEG + _DEG_PER_S * seconds
                jumped |= bool(too_far or too_much)
        return jumped
