"""What a map recognises before and after a change, tried on the same held-out images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.mapping.map_report import Trial, localize_held_out
from hloc_localizer.mapping.map_report.self_localization import Verdict
from hloc_localizer.maps import Map


@dataclass(frozen=True)
class Recall:
    """What became of some held-out images."""

    images: int
    precise: int
    """Found within 10 cm and 2 degrees."""
    found: int
    wrong: int
    """Found at a wrong place."""

    @staticmethod
    def of(trials: Sequence[Trial]) -> Recall:
        """Count the trials."""
        return Recall(
            images=len(trials),
            precise=sum(trial.verdict is Verdict.PRECISE for trial in trials),
            found=sum(trial.found for trial in trials),
            wrong=sum(trial.verdict is Verdict.WRONG for trial in trials),
        )

    def __str__(self) -> str:
        wrong = f', {self.wrong} at a wrong place' if self.wrong else ''
        return f'{self.found} of {self.images} ({self.precise} within 10 cm and 2 deg{wrong})'


def compare(
    whole: Map,
    features: Sequence[LocalFeatures],
    stamps_ns: NDArray[np.int64],
    absent: NDArray[np.bool_],
    *,
    count: int,
    advance: Callable[[int], None],
) -> tuple[list[Trial], list[Trial]]:
    """
    Localize the same held-out images in a whole map and in it without some of its images.

    Around each, its second of the recording is taken out on both sides.

    :param features: of the I images.
    :param absent: (I,) the images that the smaller map does not have.
    :param count: how many images, evenly spread.
    :returns: trials in the whole map, trials in the smaller one.
    """
    whole_trials = localize_held_out(whole, features, stamps_ns, count=count, advance=advance)
    smaller = localize_held_out(
        whole, features, stamps_ns, count=count, absent=absent, advance=advance
    )
    return whole_trials, smaller
