"""Where images without poses were taken, and how that was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage

if TYPE_CHECKING:  # maps are opened on machines that have no pycolmap
    from hloc_localizer.mapping.structure_from_motion import Model

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """The images that found a place."""

    images: NDArray[np.intp]
    """(K,) indices, increasing."""
    poses: Array
    """(K, 4, 4) ``map_from_camera``."""
    cameras: tuple[Camera, ...]
    metric: bool
    gravity_aligned: bool
    alignment: Mapping[str, float]
    """Residuals by name with unit."""
    methods: Mapping[str, str]
    """How poses, scale and gravity were found, in a word or two each."""
    notes: tuple[str, ...]
    """What a user has to know, a line each."""


@dataclass
class Findings:
    """What is put together on the way."""

    alignment: dict[str, float] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def odometry_of(images: Sequence[MapImage]) -> Array:
    """Return ``odom_from_camera`` (I, 4, 4), NaN where it is unknown."""
    unknown = np.full((4, 4), np.nan)
    return np.stack(
        [unknown if each.odom_from_camera is None else each.odom_from_camera for each in images]
    )


def median_depth(model: Model) -> float:
    """Return the median distance of the points from the images that see them."""
    own = np.full(int(model.images.max()) + 1, -1)
    own[model.images] = np.arange(len(model.images))
    seen = model.tracks.points[model.tracks.point]
    from_there = model.poses[own[model.tracks.image], :3, 3]
    return float(np.median(np.linalg.norm(seen - from_there, axis=1)))


def tell_lost(
    images: Sequence[MapImage],
    placed: NDArray[np.intp],
    joined: Sequence[Model],
    models: Sequence[Model],
    findings: Findings,
) -> None:
    """Note which images found no place, and where odometry had to join pieces."""
    if len(joined) > 1:
        sizes = ' + '.join(str(len(model.images)) for model in joined)
        findings.notes.append(
            f'the images alone give {len(joined)} separate pieces ({sizes} images); odometry '
            'joins them'
        )
    missing = len(images) - len(placed)
    if missing:
        pieces = len(models) - len(joined)
        also = f'; {pieces} smaller pieces are left out with them' if pieces else ''
        findings.notes.append(
            f'{missing} of {len(images)} images found no place: '
            f'{"; ".join(spans(images, set(placed.tolist())))}{also}'
        )


_MOST_SPANS = 6


def spans(images: Sequence[MapImage], placed: set[int]) -> Iterator[str]:
    """Name the stretches of a recording that were lost, in seconds from its start."""
    begin = min(image.stamp_ns for image in images)
    runs: list[list[int]] = []
    for index in range(len(images)):
        if index in placed:
            continue
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    for run in sorted(runs, key=len, reverse=True)[:_MOST_SPANS]:
        first, last = (images[index].stamp_ns - begin for index in (run[0], run[-1]))
        yield f'{first / 1e9:.1f} s to {last / 1e9:.1f} s ({len(run)})'
    if len(runs) > _MOST_SPANS:
        yield f'and {len(runs) - _MOST_SPANS} more stretches'
