"""Which of several maps a body is in: at the start, when lost, when the present one fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.localization.result import Localization, Reason
from hloc_localizer.localization.tracking.whole_map_search import WholeMapSearch

_PATIENCE = 2
"""Refused moments in a row before the other maps are asked."""

_VOTES = 2
"""Moments that one map must explain better than all others, where another one explains them too."""

_CLEARLY = 1.5
"""How many times as many inliers are clearly more: twins of a place give about as many."""

_OF_THE_IMAGE = (
    Reason.NO_TEXTURE, Reason.BLURRED, Reason.BADLY_EXPOSED, Reason.CAMERA_DIFFERS,
)  # fmt: skip
"""Refusals that no other map could turn into a pose."""


@dataclass(frozen=True)
class MapVerdict:
    """What a moment says about the maps."""

    change_to: int | None = None
    """The map to change to; None to stay."""
    doubt: str = ''
    """Why a pose in the present map is not to be believed yet; empty: it may be."""


class MapChoice:
    """
    Compares the maps, by how well each explains what all cameras see at one time.

    Floors of a building look alike, so a pose in one of them proves little: until the choice is
    made, each moment is localized in all maps, and a map that explains moments about as well as
    another one is not chosen. Once it is, the others are asked only about moments that the present
    one refuses.
    """

    def __init__(self, localizers: Sequence[Localizer], present: int = 0) -> None:
        """
        Begin in one of the maps, without having chosen it.

        :param localizers: one for each map.
        """
        self._localizers = localizers
        self._searches = [WholeMapSearch(localizer) for localizer in localizers]
        self._present = present
        self._settled = len(localizers) == 1
        self._refused = 0
        self._votes = [0] * len(localizers)

    @property
    def settled(self) -> bool:
        """Whether the present map is believed in."""
        return self._settled

    def settle(self) -> None:
        """Believe in the present map: a person has said where in it the robot is."""
        self._settled = True
        self._refused, self._votes = 0, [0] * len(self._localizers)

    def look(
        self, images: Sequence[MountedImage], found: Localization, *, has_pose: bool
    ) -> MapVerdict:
        """
        Take note of a moment.

        :param images: those of all cameras that could be used.
        :param found: what the present map said about them.
        :param has_pose: whether there is a pose all the same, carried by odometry.
        """
        if found.localized:
            self._refused = 0
            return MapVerdict() if self._settled else self._compare(images)
        if found.reason in _OF_THE_IMAGE:
            return MapVerdict()
        self._refused += 1
        if self._refused < _PATIENCE:
            return MapVerdict()
        if self._settled and not has_pose:
            self._settled, self._votes = False, [0] * len(self._localizers)
        return self._compare(images)

    def _compare(self, images: Sequence[MountedImage]) -> MapVerdict:
        """Localize a moment in all maps, and let the best one have its vote."""
        inliers = [self._inliers(search, images) for search in self._searches]
        best, second = np.argsort(inliers, kind='stable')[::-1][:2]
        if inliers[best] == 0:
            return MapVerdict()
        alone = inliers[second] == 0
        if inliers[best] < _CLEARLY * inliers[second]:
            return MapVerdict(doubt=self._twins(int(best), int(second), inliers))
        self._votes[best] += 1
        if best != self._present:
            sure = self._votes[best] >= _VOTES
            return MapVerdict(int(best) if sure else None, f'{self._path(int(best))} fits better')
        if not alone and self._votes[best] < _VOTES:
            return MapVerdict(doubt=self._twins(int(best), int(second), inliers))
        self.settle()
        return MapVerdict()

    @staticmethod
    def _inliers(search: WholeMapSearch, images: Sequence[MountedImage]) -> int:
        found = search.localize(images).image
        return found.inliers if found.localized else 0

    def _twins(self, best: int, second: int, inliers: Sequence[int]) -> str:
        return (
            f'{self._path(best)} ({inliers[best]} inliers) and {self._path(second)} '
            f'({inliers[second]}) both explain it; give an initialpose, or load one map'
        )

    def _path(self, number: int) -> str:
        return str(self._localizers[number].map.path)
