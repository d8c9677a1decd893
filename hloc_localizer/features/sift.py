"""SIFT with RootSIFT descriptors: the front end that needs no weights."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import (
    LocalFeatures,
    Matches,
    NearestNeighbourOptions,
)
from hloc_localizer.features.nearest_neighbour import match_nearest
from hloc_localizer.options import Options, option


@dataclass(frozen=True)
class SiftOptions(Options):
    """What SIFT keeps."""

    max_keypoints: int = option(2000, 'Most keypoints an image.', minimum=100, maximum=50000)
    contrast_threshold: float = option(
        0.01, "Smallest contrast of a keypoint; OpenCV's default of 0.04 starves dim rooms.",
        minimum=0.0, maximum=0.2,
    )  # fmt: skip
    max_image_size: int = option(
        1600, 'Longest side in pixels; larger images are reduced.', minimum=64, maximum=20000
    )
    match: NearestNeighbourOptions = option(NearestNeighbourOptions, 'How descriptors match.')


class Sift:
    """
    SIFT (Lowe 2004) by OpenCV, described as RootSIFT (Arandjelovic and Zisserman 2012).

    The descriptor is the square root of the L1-normalised histogram, so that its Euclidean
    distance is the Hellinger distance of the histograms.
    """

    name = 'sift'
    descriptor_size = 128
    parallel = True

    def __init__(self, options: SiftOptions | None = None) -> None:
        self.options = options or SiftOptions()
        self.options.check()
        self.nearest = self.options.match
        self._detectors = threading.local()

    def extract(self, image: NDArray[np.uint8]) -> LocalFeatures:
        """Detect and describe; image (H, W) grey or (H, W, 3) RGB."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        height, width = grey.shape
        scale = max(1.0, max(height, width) / self.options.max_image_size)
        if scale > 1.0:
            size = (round(width / scale), round(height / scale))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        factor = np.array([width / grey.shape[1], height / grey.shape[0]])
        keypoints, descriptors = self._detector().detectAndCompute(grey, None)
        if descriptors is None or len(keypoints) == 0:
            return _empty((width, height))
        scores = np.array([keypoint.response for keypoint in keypoints], np.float32)
        # OpenCV's limit keeps ties, so it can return a few too many.
        order = np.argsort(-scores, kind='stable')[: self.options.max_keypoints]
        points = cv2.KeyPoint.convert(keypoints)[order]
        sizes = np.array([keypoint.size for keypoint in keypoints], np.float32)[order]
        return LocalFeatures(
            keypoints=((points + 0.5) * factor - 0.5).astype(np.float32),
            descriptors=root_sift(descriptors[order]),
            scores=scores[order],
            scales=(sizes * factor.mean() / _SMALLEST_SIZE).astype(np.float32),
            image_size=(width, height),
        )

    def prepare(self, features: LocalFeatures) -> LocalFeatures:
        """Return the features: there is nothing to compute beforehand."""
        return features

    def match(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> list[Matches]:
        """Match one image against several at once."""
        return match_nearest(query, references, self.options.match)

    def release(self) -> None:
        """Do nothing: no device is held."""

    def _detector(self) -> Any:
        """Return this thread's detector: OpenCV's is not safe to share."""
        detector = getattr(self._detectors, 'sift', None)
        if detector is None:
            arguments: dict[str, Any] = {
                'nfeatures': self.options.max_keypoints,
                'contrastThreshold': self.options.contrast_threshold,
            }
            try:
                # Without it OpenCV's first, doubled octave is shifted by a quarter of a pixel.
                detector = cv2.SIFT_create(**arguments, enable_precise_upscale=True)
            except TypeError:  # OpenCV before 4.8
                detector = cv2.SIFT_create(**arguments)
            self._detectors.sift = detector
        return detector


_SMALLEST_SIZE = 1.9
"""Diameter in pixels that OpenCV gives to the finest keypoints; they get scale 1."""


def root_sift(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn SIFT histograms (N, 128) into RootSIFT descriptors of unit length."""
    total = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(np.sqrt(np.maximum(descriptors, 0.0) / total), np.float32)


def _empty(image_size: tuple[int, int]) -> LocalFeatures:
    return LocalFeatures(
        keypoints=np.zeros((0, 2), np.float32),
        descriptors=np.zeros((0, 128), np.float32),
        scores=np.zeros(0, np.float32),
        scales=np.zeros(0, np.float32),
        image_size=image_size,
    )
