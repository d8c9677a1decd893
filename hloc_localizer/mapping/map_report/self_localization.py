"""Map images localized in the map without them: where a robot would fail, from the map alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.result import Localization, Reason
from hloc_localizer.maps.map import Map
from hloc_localizer.maps.quantisation import quantise_descriptors
from hloc_localizer.maps.runtime import RuntimeMap
from hloc_localizer.maps.subset import without_images

FOLDS = 4
BLOCK_NS = 1_000_000_000
PRECISE_M, PRECISE_DEG = 0.10, 2.0
WRONG_M, WRONG_DEG = 0.5, 10.0


class Verdict(Enum):
    """What came of localizing a held-out image."""

    PRECISE = 'found within 10 cm and 2 deg'
    ROUGH = 'found, less precisely'
    REFUSED = 'not found'
    WRONG = 'found at a wrong place'


@dataclass(frozen=True)
class Trial:
    """One image that was held out and localized."""

    image: int
    """Index of the map image."""
    reason: Reason
    """Why it was refused; NONE when it was not."""
    translation_m: float
    """Distance from where the map has it; NaN when refused."""
    rotation_deg: float
    localization: Localization | None = None
    """What was found; None where nothing was tried."""

    @property
    def found(self) -> bool:
        """Whether it was found, and at the right place."""
        return self.verdict in (Verdict.PRECISE, Verdict.ROUGH)

    @property
    def verdict(self) -> Verdict:
        """Judge by the same limits as ``evaluate`` does."""
        if self.reason is not Reason.NONE:
            return Verdict.REFUSED
        if self.translation_m > WRONG_M or self.rotation_deg > WRONG_DEG:
            return Verdict.WRONG
        precise = self.translation_m <= PRECISE_M and self.rotation_deg <= PRECISE_DEG
        return Verdict.PRECISE if precise else Verdict.ROUGH


def localize_held_out(
    whole: Map,
    features: Sequence[LocalFeatures],
    stamps_ns: NDArray[np.int64],
    *,
    count: int,
    advance: Callable[[int], None],
    absent: NDArray[np.bool_] | None = None,
) -> list[Trial]:
    """
    Localize some of a map's images in what remains of the map without the second around them.

    Every fourth second of the recording is taken out at once, with the observations of its images;
    points that fewer than two other images see, and every descriptor that an image under trial
    lent to a point, go too. What a point's position owes to the images taken out remains in it.

    :param features: of the I images.
    :param stamps_ns: (I,).
    :param count: how many images, evenly spread.
    :param absent: (I,) images to leave out of the map throughout; they are localized like others.
    """
    images = len(whole.runtime.image_names)
    absent = np.zeros(images, np.bool_) if absent is None else absent
    chosen = np.unique(np.linspace(0, images - 1, min(count, images)).round().astype(np.intp))
    fold = folds(stamps_ns)
    trials = []
    for number in range(FOLDS):
        tried = chosen[fold[chosen] == number]
        gone = absent | (fold == number)
        if len(tried) == 0 or np.count_nonzero(~gone) < 2:
            continue
        trials += _tried(whole, gone, tried, features, advance)
    return sorted(trials, key=lambda trial: trial.image)


def folds(stamps_ns: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return which fold each image is in (I,): those of one second are in one."""
    second = (stamps_ns - stamps_ns.min()) // BLOCK_NS
    return np.unique(second, return_inverse=True)[1].reshape(-1) % FOLDS


def _tried(
    whole: Map,
    gone: NDArray[np.bool_],
    tried: NDArray[np.intp],
    features: Sequence[LocalFeatures],
    advance: Callable[[int], None],
) -> list[Trial]:
    runtime = whole.runtime
    own = _descriptors_of(runtime, [features[image] for image in tried])
    rest = without_images(runtime, gone, without_descriptors=own)
    if len(rest.points) == 0:
        return [Trial(int(image), Reason.NOTHING_RETRIEVED, np.nan, np.nan) for image in tried]
    localizer = Localizer(dataclasses.replace(whole, runtime=rest))
    trials = []
    for image in tried:
        found = localizer.localize_features(
            features[image],
            runtime.cameras[runtime.image_camera[image]],
            runtime.global_descriptors[image].astype(np.float32),
        )
        metres = radians = np.float64(np.nan)
        if found.map_from_camera is not None:
            metres, radians = (
                np.float64(value)
                for value in pose_distance(found.map_from_camera, runtime.map_from_camera[image])
            )
        trials.append(
            Trial(int(image), found.reason, float(metres), float(np.degrees(radians)), found)
        )
        advance(1)
    localizer.close()
    return trials


def _descriptors_of(runtime: RuntimeMap, features: Sequence[LocalFeatures]) -> NDArray[np.bool_]:
    """Return which of the map's descriptors (M,) are those of some images, byte for byte."""
    own = [quantise_descriptors(np.asarray(one.descriptors, np.float32)) for one in features]
    rows = np.unique(_as_rows(np.concatenate([one for one in own if len(one)])))
    return np.isin(_as_rows(runtime.descriptors), rows)


def _as_rows(array: NDArray[np.generic]) -> NDArray[np.void]:
    array = np.ascontiguousarray(array)
    return array.view(np.dtype((np.void, array.dtype.itemsize * array.shape[1]))).reshape(-1)
