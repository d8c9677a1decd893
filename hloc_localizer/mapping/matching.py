"""Matching pairs of map images and verifying the matches against known poses."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import FrontEnd, LocalFeatures, Matches
from hloc_localizer.geometry import epipolar, transforms
from hloc_localizer.geometry.camera import Camera

_BATCH = 8


@dataclass(frozen=True)
class MapImage:
    """A map image while the map is built."""

    name: str
    stamp_ns: int
    camera: int
    """Index into the cameras of the map."""
    map_from_camera: NDArray[np.float64]
    """(4, 4), the recorded pose; NaN until it is found, where none was recorded."""
    features: LocalFeatures
    plane: NDArray[np.float64]
    """(N, 2) keypoints on the plane z = 1; NaN where the camera model ends."""
    colors: NDArray[np.uint8]
    """(N, 3) RGB of the image at the keypoints."""
    depths: NDArray[np.float32] | None = None
    """(N,) metres along the optical axis at the keypoints, NaN where unknown; None without depth
    images."""
    global_descriptor: NDArray[np.float32] | None = None
    """(G,), where a network described the image as it was read."""
    thumbnail: bytes = b''
    """A small JPEG for the report; empty where the image was not at hand."""
    odom_from_camera: NDArray[np.float64] | None = None
    """(4, 4) in the drifting odometry frame, where it is known."""
    up_in_camera: NDArray[np.float64] | None = None
    """(3,) unit vector against gravity, where an IMU measured it."""
    session: str = ''
    """The recording it is from, where there are several."""


PairMatches = dict[tuple[int, int], NDArray[np.int32]]
"""Matched keypoints (M, 2) of pairs of image indices, the smaller index first."""


def match_pairs(
    images: Sequence[MapImage],
    pairs: Iterable[tuple[int, int]],
    front_end: FrontEnd,
    *,
    threads: int,
    advance: Callable[[int], None],
) -> PairMatches:
    """Match every pair with the front end, one image against several partners at a time."""
    batches = _batches(pairs)
    prepared = _Prepared(images, front_end)

    def run(batch: tuple[int, list[int]]) -> list[tuple[tuple[int, int], Matches]]:
        first, others = batch
        found = front_end.match(prepared(first), [prepared(other) for other in others])
        advance(len(others))
        return [((first, other), m) for other, m in zip(others, found, strict=True)]

    with ThreadPoolExecutor(threads) as pool:
        results = [pair for batch in pool.map(run, batches) for pair in batch]
    return {pair: matches.indices for pair, matches in results if len(matches)}


class _Prepared:
    """Images ready for the matcher; those that were not asked for lately are let go."""

    def __init__(self, images: Sequence[MapImage], front_end: FrontEnd) -> None:
        self._images = images
        self._front_end = front_end
        self._ready: OrderedDict[int, LocalFeatures] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, index: int) -> LocalFeatures:
        """Return the features of an image, prepared."""
        with self._lock:
            if index not in self._ready:
                self._ready[index] = self._front_end.prepare(self._images[index].features)
            self._ready.move_to_end(index)
            while len(self._ready) > _MOST_PREPARED:
                self._ready.popitem(last=False)
            return self._ready[index]


_MOST_PREPARED = 512


def _batches(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    partners: dict[int, list[int]] = {}
    for first, second in pairs:
        partners.setdefault(first, []).append(second)
    return [
        (first, others[start : start + _BATCH])
        for first, others in partners.items()
        for start in range(0, len(others), _BATCH)
    ]


def verify_matches(
    images: Sequence[MapImage],
    map_from_camera: Sequence[NDArray[np.float64]],
    cameras: Sequence[Camera],
    matches: PairMatches,
    *,
    max_error_px: float,
    min_matches: int = 8,
) -> PairMatches:
    """
    Keep the matches that lie on each other's epipolar lines.

    :param map_from_camera: I poses (4, 4).
    :param max_error_px: largest symmetric epipolar distance.
    :param min_matches: a pair with fewer is dropped: chance alone puts some on the lines.
    """
    verified = {}
    for (first, second), indices in matches.items():
        distances = match_distances(
            images[first].plane[indices[:, 0]],
            images[second].plane[indices[:, 1]],
            transforms.invert(map_from_camera[second]) @ map_from_camera[first],
        )
        focal = min(cameras[images[first].camera].focal_px, cameras[images[second].camera].focal_px)
        kept = indices[distances * focal <= max_error_px]
        if len(kept) >= min_matches:
            verified[first, second] = kept
    return verified


def match_distances(
    first: NDArray[np.float64], second: NDArray[np.float64], second_from_first: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the epipolar distances (N,) of points on the planes z = 1; inf where undefined."""
    essential = epipolar.essential_matrix(second_from_first)
    distances = epipolar.match_epipolar_distances(essential, first, second)
    return np.where(np.isfinite(distances), distances, np.inf)
