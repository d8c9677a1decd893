"""An observation: what one image matched in the map, kept for solving several together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.hypothesis import Hypothesis
from hloc_localizer.localization.point_matching import PointMatches


@dataclass(frozen=True, eq=False)
class Observation:
    """The matches of one image, whether or not they were enough for a pose."""

    camera: Camera
    """With the calibration that building refined, where it is the map's."""
    features: LocalFeatures
    images: NDArray[np.intp]
    """(K,) the map images it was compared with."""
    places: tuple[PointMatches, ...]
    """The matches to each place that these images make up, found before any pose was known."""
    accepted: Hypothesis | None
    """The pose with its matches, where the image alone was enough."""
    tried: tuple[Hypothesis, ...] = ()
    """All poses that were found, accepted or not."""

    @cached_property
    def tree(self) -> cKDTree:
        """The keypoints, searchable."""
        return cKDTree(self.features.keypoints)

    @cached_property
    def first_matches(self) -> PointMatches:
        """The matches to all places in a row."""
        if not self.places:
            return PointMatches(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32))
        return PointMatches(
            np.concatenate([place.keypoint for place in self.places]),
            np.concatenate([place.point for place in self.places]),
            np.concatenate([place.score for place in self.places]),
        )
