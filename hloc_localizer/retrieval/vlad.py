"""VLAD: a global descriptor learned on the map itself, from any local features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.options import Options, option

Array = NDArray[np.float32]


@dataclass(frozen=True)
class VladOptions(Options):
    """The size of the vocabulary and of the descriptor."""

    clusters: int = option(64, 'Visual words.', minimum=4, maximum=1024)
    dimensions: int = option(
        256, 'Length of the descriptor after the projection.', minimum=16, maximum=8192
    )
    max_samples: int = option(
        60000, 'Local descriptors to learn the words from.', minimum=1000, maximum=10000000
    )
    seed: int = option(0, 'Seed of the sampling.', minimum=0)


def _check(words: Array, mean: Array, projection: Array) -> None:
    """Refuse arrays of a map that do not fit together, before they are used."""
    fits = (
        words.ndim == 2 and mean.shape == (words.size,) and projection.ndim == 2
        and len(projection) == words.size and projection.shape[1] > 0
    )  # fmt: skip
    if not fits:
        raise InputError(
            f'retrieval: words {words.shape}, mean {mean.shape} and projection '
            f'{projection.shape} of the map do not fit together; build the map again'
        )


class Vlad:
    """
    Vector of locally aggregated descriptors with intra-normalisation.

    Residuals of the local descriptors to their nearest visual word are summed per word and
    normalised per word (Arandjelovic and Zisserman, "All about VLAD", 2013), then projected by PCA
    with whitening (Jegou and Chum, "Negative evidences and co-occurences", 2012).
    """

    name = 'vlad'

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._words = np.asarray(arrays['words'], np.float32)
        self._mean = np.asarray(arrays['mean'], np.float32)
        self._projection = np.asarray(arrays['projection'], np.float32)
        _check(self._words, self._mean, self._projection)
        self._half_norms = 0.5 * (self._words**2).sum(axis=1)

    @property
    def size(self) -> int:
        """G, the length of a descriptor."""
        return int(self._projection.shape[1])

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learned, to be stored with the map."""
        return {
            'words': self._words.astype(np.float16),
            'mean': self._mean.astype(np.float16),
            'projection': self._projection.astype(np.float16),
        }

    def describe(self, features: LocalFeatures) -> Array:
        """Return the descriptor (G,) of unit length; zeros for an image without features."""
        raw = self._raw(features.descriptors)
        projected = (raw - self._mean) @ self._projection if raw.any() else np.zeros(1)
        length = float(np.linalg.norm(projected))
        if length < 1e-9:
            return np.zeros(self._projection.shape[1], np.float32)
        return np.asarray(projected / length, np.float32)

    def _raw(self, descriptors: NDArray[Any]) -> Array:
        sums = np.zeros_like(self._words)
        if len(descriptors):
            descriptors = np.asarray(descriptors, np.float32)
            nearest = np.argmax(descriptors @ self._words.T - self._half_norms, axis=1)
            order = np.argsort(nearest, kind='stable')
            words, starts, counts = np.unique(nearest[order], return_index=True, return_counts=True)
            totals = np.add.reduceat(descriptors[order], starts, axis=0)
            sums[words] = totals - counts[:, None] * self._words[words]
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        return np.asarray(sums.ravel() / max(float(np.linalg.norm(sums)), 1e-9))


def learn_vlad(images: Sequence[LocalFeatures], options: VladOptions | None = None) -> Vlad:
    """
    Learn the visual words and the projection on the images of a map.

    :raises ValueError: when there are fewer local descriptors than words.
    """
    options = options or VladOptions()
    options.check()
    rng = np.random.default_rng(options.seed)
    share = max(options.max_samples // max(len(images), 1), 1)
    samples = np.concatenate([_sample(image.descriptors, share, rng) for image in images])
    if len(samples) < options.clusters:
        raise ValueError(f'{len(samples)} local descriptors cannot make {options.clusters} words')
    words = _k_means(samples, options.clusters, rng)
    size = words.size
    plain = Vlad({'words': words, 'mean': np.zeros(size), 'projection': np.zeros((size, 1))})
    raw = np.stack([plain._raw(image.descriptors) for image in images])
    mean, projection = _whitening(raw, options.dimensions)
    return Vlad({'words': words, 'mean': mean, 'projection': projection})


def _sample(descriptors: NDArray[Any], count: int, rng: np.random.Generator) -> Array:
    if len(descriptors) > count:
        descriptors = descriptors[np.sort(rng.choice(len(descriptors), count, replace=False))]
    return np.asarray(descriptors, np.float32)


def _k_means(samples: Array, clusters: int, rng: np.random.Generator) -> Array:
    """Lloyd's algorithm; a word that loses all its samples is moved to a random one."""
    words = samples[np.sort(rng.choice(len(samples), clusters, replace=False))].copy()
    for _ in range(12):
        nearest = np.argmax(samples @ words.T - 0.5 * (words**2).sum(axis=1), axis=1)
        order = np.argsort(nearest, kind='stable')
        used, starts, counts = np.unique(nearest[order], return_index=True, return_counts=True)
        words[used] = np.add.reduceat(samples[order], starts, axis=0) / counts[:, None]
        unused = np.setdiff1d(np.arange(clusters), used)
        words[unused] = samples[rng.choice(len(samples), len(unused))]
    return words


def _whitening(raw: Array, dimensions: int) -> tuple[Array, Array]:
    """Return the mean (K,) and the projection (K, G) of descriptors (I, K), by the I x I Gram."""
    mean = raw.mean(axis=0)
    centred = raw - mean
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    kept = np.argsort(values)[::-1][: min(dimensions, len(raw))]
    kept = kept[values[kept] > 1e-6 * max(values.max(), 1e-12)]
    if len(kept) == 0:
        return np.zeros_like(mean), raw[:1].T.copy()
    axes = centred.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    # Full whitening would raise the noise of the last axes to the height of the first.
    scale = (values[kept] / values[kept[0]]) ** -0.25
    return mean, np.asarray(axes * scale, np.float32)
