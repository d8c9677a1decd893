"""Local features of one image, and matches between the features of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.options import Options, option


@dataclass(frozen=True)
class LocalFeatures:
    """Keypoints and descriptors of one image, strongest first."""

    keypoints: NDArray[np.float32]
    """(N, 2) pixels, the centre of the first pixel is (0, 0)."""
    descriptors: NDArray[Any]
    """(N, D) of unit length; float32 or float16."""
    scores: NDArray[np.float32]
    """(N,) detection score, larger is better."""
    scales: NDArray[np.float32]
    """(N,) standard deviation of the keypoint's position in pixels, up to a common factor."""
    image_size: tuple[int, int]
    """(width, height) of the image the pixels are of."""

    def __len__(self) -> int:
        return len(self.keypoints)

    def strongest(self, count: int) -> LocalFeatures:
        """Return the first, which are the strongest."""
        if count >= len(self):
            return self
        return LocalFeatures(
            keypoints=self.keypoints[:count],
            descriptors=self.descriptors[:count],
            scores=self.scores[:count],
            scales=self.scales[:count],
            image_size=self.image_size,
        )


@dataclass(frozen=True)
class Matches:
    """Matches between two sets of features."""

    indices: NDArray[np.int32]
    """(M, 2): index into the first set, index into the second; each index at most once."""
    scores: NDArray[np.float32]
    """(M,) confidence in [0, 1]."""

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class NearestNeighbourOptions(Options):
    """How descriptors are compared."""

    max_ratio: float = option(
        0.85,
        'Largest distance to the best match, relative to the second best (Lowe 2004); 1 is off.',
        minimum=0.1,
        maximum=1.0,
    )
    min_similarity: float = option(
        0.6, 'Smallest cosine between matching descriptors.', minimum=-1.0, maximum=1.0
    )


class FrontEnd(Protocol):
    """An extractor of local features with the matcher that belongs to it."""

    @property
    def name(self) -> str:
        """The name in the registry and in the map's manifest, for example ``sift``."""
        ...

    @property
    def descriptor_size(self) -> int:
        """D, the length of a descriptor."""
        ...

    @property
    def nearest(self) -> NearestNeighbourOptions | None:
        """How plain descriptors compare; None when a learned matcher needs whole images."""
        ...

    def extract(self, image: NDArray[np.uint8]) -> LocalFeatures:
        """Detect and describe; image (H, W) grey or (H, W, 3) RGB."""
        ...

    @property
    def parallel(self) -> bool:
        """Whether several threads may call it at once; else it uses all cores by itself."""
        ...

    def prepare(self, features: LocalFeatures) -> LocalFeatures:
        """Return features for :meth:`match`, with what can be computed once already computed."""
        ...

    def match(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> list[Matches]:
        """Match one image against several at once; one :class:`Matches` a reference."""
        ...

    def release(self) -> None:
        """Give the memory of a device back; a front end on one cannot be used afterwards."""
        ...
