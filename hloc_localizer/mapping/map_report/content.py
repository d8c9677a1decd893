"""What the report of a map is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.mapping.map_report.self_localization import Trial
from hloc_localizer.maps.manifest import Manifest
from hloc_localizer.maps.runtime import RuntimeMap


@dataclass(frozen=True)
class ReportContent:
    """A map, and what building knows beyond it."""

    title: str
    manifest: Manifest
    runtime: RuntimeMap
    trials: Sequence[Trial]
    """Map images localized in the rest of the map."""
    frames: int
    """Frames of the recording."""
    selected: int
    """Frames that were to become map images."""
    recorded: NDArray[np.float64] | None = None
    """(I, 4, 4) ``map_from_camera`` as the recording had it, to compare with."""
    stamps_ns: NDArray[np.int64] | None = None
    """(I,) capture times."""
    thumbnails: Sequence[bytes] = ()
    """A small JPEG of each image, empty where there is none."""
    stage_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage of the build."""
