"""A learned front end: an extractor and a matcher of torch behind the arrays of the others."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.features.learned.device import memory_guard, release_memory
from hloc_localizer.features.learned.extraction import Extractor, image_tensor
from hloc_localizer.features.learned.options import LearnedOptions
from hloc_localizer.features.learned.preprocessing import preprocess
from hloc_localizer.features.local_features import (
    LocalFeatures,
    Matches,
    NearestNeighbourOptions,
)


class Matcher(Protocol):
    """Matches one image with several on a device, in two steps."""

    def prepare(self, keypoints: Tensor, descriptors: Tensor, size: tuple[int, int]) -> Any:
        """Do what needs one image alone: keypoints (N, 2), descriptors (N, D), (width, height)."""
        ...

    def resident(self, prepared: Any) -> Any:
        """Return what stays on the device of an image that is matched often, in half precision."""
        ...

    def __call__(self, query: Any, references: Sequence[Any]) -> Tensor:
        """Match prepared images; (B, M, 2): index into the reference or -1, and score."""
        ...


@dataclass(frozen=True)
class ResidentFeatures(LocalFeatures):
    """Features of which the matcher's share already lies on the device, in half precision."""

    prepared: Any
    """What :meth:`Matcher.resident` returned."""


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
        matcher: Matcher,
        options: LearnedOptions,
        device: torch.device,
    ) -> None:
        self.name = name
        self.parallel = False
        self.descriptor_size = extractor.descriptor_size
        self.options = options
        self.device = device
        self.nearest: NearestNeighbourOptions | None = (
            options.nearest_neighbour if options.matcher == 'nearest_neighbour' else None
        )
        self._extractor: Extractor | None = extractor
        self._matcher: Matcher | None = matcher

    def extract(self, image: NDArray[np.uint8]) -> LocalFeatures:
        """Detect and describe; image (H, W) grey or (H, W, 3) RGB."""
        extractor, _ = self._in_use()
        size = (image.shape[1], image.shape[0])
        reduced = preprocess(image, self.options)
        with self._guard(_SMALLER_IMAGES), torch.inference_mode():
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
        _, matcher = self._in_use()
        with self._guard(_FEWER_KEYPOINTS), torch.inference_mode():
            prepared = matcher.resident(self._prepared(matcher, features))
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
        _, matcher = self._in_use()
        found = [_no_matches() for _ in references]
        filled = [place for place, reference in enumerate(references) if len(reference)]
        if not filled or len(query) == 0:
            return found
        with self._guard(_FEWER_KEYPOINTS), torch.inference_mode():
            prepared = [self._prepared(matcher, references[place]) for place in filled]
            raw = matcher(self._prepared(matcher, query), prepared).cpu().numpy()
        minimum = self.options.min_match_score if self.nearest is None else 0.0
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
        self._matcher = None
        release_memory(self.device)

    def _in_use(self) -> tuple[Extractor, Matcher]:
        if self._extractor is None or self._matcher is None:
            raise HlocLocalizerError(f"front end '{self.name}' was released")
        return self._extractor, self._matcher

    def _prepared(self, matcher: Matcher, features: LocalFeatures) -> Any:
        if isinstance(features, ResidentFeatures):
            return features.prepared
        return matcher.prepare(
            self._on_device(features.keypoints),
            self._on_device(features.descriptors),
            features.image_size,
        )

    def _on_device(self, array: NDArray[np.generic]) -> Tensor:
        values = torch.from_numpy(np.array(array, np.float32))
        return values.to(self.device, non_blocking=True)

    def _guard(self, remedy: str) -> contextlib.AbstractContextManager[None]:
        return memory_guard(self.device, remedy.format(name=self.name))


_SMALLER_IMAGES = 'build the map with a lower {name}.max_image_size or {name}.max_keypoints'
_FEWER_KEYPOINTS = (
    'lower retrieval.learned_candidates, or build the map with a lower {name}.max_keypoints'
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
