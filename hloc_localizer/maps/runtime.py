"""The part of a map that localizing needs, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera


@dataclass(frozen=True)
class RuntimeMap:
    """
    I images that observe P points in O observations, described by M descriptors of length D.

    The observations of image ``i`` are the slice ``observation_offsets[i]`` to ``[i + 1]``. Several
    observations of one point may share a descriptor, so M <= O: that is what keeps a map small.
    """

    image_names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    image_camera: NDArray[np.int32]
    """(I,) index into ``cameras``."""
    map_from_camera: NDArray[np.float64]
    """(I, 4, 4)."""
    points: NDArray[np.float32]
    """(P, 3) metres in the map frame."""
    point_covariance: NDArray[np.float32]
    """(P, 6) square metres: xx, xy, xz, yy, yz, zz of the position in the map frame."""
    point_colors: NDArray[np.uint8]
    """(P, 3) RGB."""
    observation_offsets: NDArray[np.int64]
    """(I + 1,)."""
    observation_point: NDArray[np.int32]
    """(O,) index into ``points``."""
    observation_keypoint: NDArray[np.float32]
    """(O, 2) pixels in the map image."""
    observation_descriptor: NDArray[np.int32]
    """(O,) index into ``descriptors``."""
    descriptors: NDArray[Any]
    """(M, D) uint8 (value / 512 for RootSIFT) or float16."""
    descriptor_point: NDArray[np.int32]
    """(M,) the point that a descriptor describes."""
    covisible_offsets: NDArray[np.int64]
    """(I + 1,) into the two below."""
    covisible_image: NDArray[np.int32]
    """Images that share points with image ``i``, most first."""
    covisible_count: NDArray[np.int32]
    """How many points they share."""
    global_descriptors: NDArray[np.float16]
    """(I, G) of unit length."""
    retrieval_arrays: Mapping[str, NDArray[Any]]
    """What the global descriptor learned on this map (vocabulary, projection), by name."""
