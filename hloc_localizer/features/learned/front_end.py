"""A learned front end: an extractor and a matcher of torch behind the arrays of the others."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.features.learned.device import memory_guard, release_memory
from hloc_localizer.features.learned.extraction import Extractor, image_tensor
from hloc_localizer.features.learned.lightglue import LightGlue, Prepared
from hloc_localizer.features.learned.nearest_neighbour import match_nearest
from hloc_localizer.features.learned.options import LearnedOptions
from hloc_localizer.features.learned.preprocessing import preprocess
from hloc_localizer.features.local_features import (
    LocalFeatures,
    Matches,
    NearestNeighbourOptions,
)


@dataclass(frozen=True)
class ResidentFeatures(LocalFeatures):
    """Features of which the matcher's share already lies on the device, in half precision."""

    prepared: Prepared | Tensor
    """What LightGlue precomputed, or the descriptors (N, D) for nearest neighbour."""


class LearnedFrontEnd:
    """
    An extractor with LightGlue or mutual nearest neighbours, on one device.

    :meth:`match` takes any :class:`LocalFeatures`. Those that are matched often (a map's images)
    are best passed through :meth:`prepare` once; for the others it happens in the call.
    """

    def __init__(
        self,
        *,
        name: str,
        extractor: Extractor,
        lightglue: LightGlue | None,
        options: LearnedOptions,
        device: torch.device,
    ) -> None:
        self.name = name
        self.parallel = False
        self.descriptor_size = extractor.descriptor_size
        self.options = options
        self.device = device
        self.nearest: NearestNeighbourOptions | None = (
            options.nearest_neighbour if lightglue is None else None
        )
        self._extractor: Extractor | None = extractor
        self._lightglue = lightglue

    def extract(self, image: NDArray[np.uint8]) -> LocalFeatures:
        """Detect and describe; image (H, W) grey or (H, W, 3) RGB."""
        extractor = self._in_use()
        size = (image.shape[1], image.shape[0])
        reduced = preprocess(image, self.options)
        with self._guard(), torch.inference_mode():
            extraction = extractor(image_tensor(reduced, self.device))
            packed = torch.cat(
                [extraction.keypoints, extraction.scores[:, None], extraction.descriptors], dim=1
            ).float().cpu().numpy()  # fmt: skip
        ratio = np.array([size[0] / reduced.shape[1], size[1] / reduced.shape[0]])
        packed = packed[packed[:, 2] > 0.0]
        limits = np.array(size) - 1.0
        keypoints = np.clip((packed[:, :2] + 0.5) * ratio - 0.5, 0.0, limits)
        return LocalFeatures(
            keypoints=keypoints.astype(np.float32),
            descriptors=np.ascontiguousarray(packed[:, 3:]),
            scores=packed[:, 2].copy(),
            scales=np.full(len(packed), ratio.mean(), np.float32),
            image_size=size,
        )

    def prepare(self, features: LocalFeatures) -> ResidentFeatures:
        """Bring to the device, once, what matching needs of features that are matched often."""
        self._in_use()
        with self._guard(), torch.inference_mode():
            prepared = self._prepared(features)
            if isinstance(prepared, Prepared):
                prepared = Prepared(*(tensor.half() for tensor in prepared))
            else:
                prepared = prepared.half()
        return ResidentFeatures(
            keypoints=features.keypoints,
            descriptors=features.descriptors,
            scores=features.scores,
            scales=features.scales,
            image_size=features.image_size,
            prepared=prepared,
        )

    def match(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> list[Matches]:
        """Match one image against several in one batch; one :class:`Matches` a reference."""
        self._in_use()
        found = [_no_matches() for _ in references]
        filled = [place for place, reference in enumerate(references) if len(reference)]
        if not filled or len(query) == 0:
            return found
        with self._guard(), torch.inference_mode():
            raw = self._match(query, [references[place] for place in filled]).cpu().numpy()
        minimum = 0.0 if self._lightglue is None else self.options.min_match_score
        for place, pairs in zip(filled, raw, strict=True):
            found[place] = _matches(pairs, minimum)
        return found

    def warm_up(self, image_size: tuple[int, int], references: int = 5) -> None:
        """Run once with noise, so that the first frame is not the one that pays for setting up."""
        noise = np.random.default_rng(0).integers(0, 255, (*image_size[::-1], 3), np.uint8)
        features = self.extract(noise)
        self.match(features, [self.prepare(features)] * references)

    def release(self) -> None:
        """Give the memory of the networks back; the front end cannot be used afterwards."""
        self._extractor = None
        self._lightglue = None
        release_memory(self.device)

    def _in_use(self) -> Extractor:
        if self._extractor is None:
            raise HlocLocalizerError(f"front end '{self.name}' was released")
        return self._extractor

    def _match(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> Tensor:
        prepared = [self._prepared(reference) for reference in references]
        own = self._prepared(query)
        if self._lightglue is not None:
            assert isinstance(own, Prepared)
            matched: Tensor = self._lightglue(own, prepared)
            return matched
        assert isinstance(own, Tensor)
        sets = [tensor for tensor in prepared if isinstance(tensor, Tensor)]
        return match_nearest(own, sets, self.options.nearest_neighbour)

    def _prepared(self, features: LocalFeatures) -> Prepared | Tensor:
        if isinstance(features, ResidentFeatures):
            return features.prepared
        descriptors = self._on_device(features.descriptors)
        if self._lightglue is None:
            return descriptors
        keypoints = self._on_device(features.keypoints)
        return self._lightglue.prepare(keypoints, descriptors, features.image_size)

    def _on_device(self, array: NDArray[np.generic]) -> Tensor:
        values = torch.from_numpy(np.array(array, np.float32))
        return values.to(self.device, non_blocking=True)

    def _guard(self) -> contextlib.AbstractContextManager[None]:
        return memory_guard(
            self.device, 'lower max_keypoints, max_image_size or the number of candidates'
        )


def _matches(pairs: NDArray[np.float32], minimum: float) -> Matches:
    """Turn (M, 2) of index or -1 and score into matches."""
    kept = np.flatnonzero((pairs[:, 0] >= 0.0) & (pairs[:, 1] > minimum))
    # Equal descriptors can match the same one: the first, which is the stronger, keeps it.
    matched, first = np.unique(pairs[kept, 0].astype(np.int64), return_index=True)
    order = np.argsort(first)
    kept, matched = kept[first[order]], matched[order]
    indices = np.stack([kept, matched], axis=1)
    return Matches(indices.astype(np.int32), np.clip(pairs[kept, 1], 0.0, 1.0))


def _no_matches() -> Matches:
    return Matches(np.zeros((0, 2), np.int32), np.zeros(0, np.float32))
