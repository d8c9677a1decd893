"""Mutual nearest neighbours with a ratio test, one image against many in one multiplication."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import (
    LocalFeatures,
    Matches,
    NearestNeighbourOptions,
)

Similarity = NDArray[np.float32]


def match_nearest(
    query: LocalFeatures, references: Sequence[LocalFeatures], options: NearestNeighbourOptions
) -> list[Matches]:
    """Match one image against several; one :class:`Matches` a reference."""
    if not references:
        return []
    stacked = np.concatenate([reference.descriptors for reference in references])
    similarity = similarities(query.descriptors, stacked)
    ends = np.cumsum([len(reference) for reference in references])
    blocks = np.split(similarity, ends[:-1], axis=1)
    return [mutual_matches(block, options) for block in blocks]


def similarities(first: NDArray[np.generic], second: NDArray[np.generic]) -> Similarity:
    """Return the cosines (N, M) of unit descriptors (N, D) and (M, D)."""
    return np.asarray(
        first.astype(np.float32, copy=False) @ second.astype(np.float32, copy=False).T
    )


def mutual_matches(similarity: Similarity, options: NearestNeighbourOptions) -> Matches:
    """
    Find the pairs that are each other's best, clear of the second best in both directions.

    :param similarity: (N, M) cosines; overwritten.
    """
    rows, columns = similarity.shape
    if rows == 0 or columns == 0:
        return Matches(np.zeros((0, 2), np.int32), np.zeros(0, np.float32))
    every_row = np.arange(rows)
    best_column = similarity.argmax(axis=1)
    best = similarity[every_row, best_column]
    best_row = similarity.argmax(axis=0)
    keep = (best_row[best_column] == every_row) & (best >= options.min_similarity)
    kept = np.flatnonzero(keep)
    if options.max_ratio < 1.0 and len(kept):
        similarity[kept, best_column[kept]] = -1.0
        second = np.full(len(kept), -1.0, np.float32)
        if columns > 1:
            second = similarity[kept].max(axis=1)
        if rows > 1:
            second = np.maximum(second, similarity[:, best_column[kept]].max(axis=0))
        # Squared distances of unit vectors are 2 - 2 cos.
        clear = (1.0 - best[kept]) <= options.max_ratio**2 * (1.0 - second)
        kept = kept[clear]
    indices = np.stack([kept, best_column[kept]], axis=1).astype(np.int32)
    return Matches(indices, np.clip(best[kept], 0.0, 1.0))
