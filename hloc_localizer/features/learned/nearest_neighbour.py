"""Mutual nearest neighbours on the device: one query against several references at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hloc_localizer.features.local_features import NearestNeighbourOptions


class DeviceNearestNeighbour:
    """Mutual nearest neighbours behind the interface of LightGlue."""

    def __init__(self, options: NearestNeighbourOptions) -> None:
        self._options = options

    def prepare(self, keypoints: Tensor, descriptors: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the descriptors: nothing else counts."""
        return descriptors

    def resident(self, prepared: Tensor) -> Tensor:
        """Return what is kept on the device of an image that is matched often."""
        return prepared.half()

    def __call__(self, query: Tensor, references: Sequence[Tensor]) -> Tensor:
        """Match; see :func:`match_nearest`."""
        return match_nearest(query, references, self._options)


_NONE = -2.0
"""Less than any cosine."""


def match_nearest(
    query: Tensor, references: Sequence[Tensor], options: NearestNeighbourOptions
) -> Tensor:
    """
    Match descriptors (M, D) against B sets (N, D), as the matcher of the same name on arrays does.

    :return: (B, M, 2): index into the reference or -1, and the cosine clipped to [0, 1].
    """
    stacked = pad_sequence(list(references), batch_first=True).to(query.dtype)
    similarity = (query @ stacked.mT).float()
    for place, reference in enumerate(references):
        similarity[place, :, len(reference) :] = _NONE
    best, column = similarity.max(dim=2)
    # Comparing maxima is many times faster than searching the other way; of equals, the caller
    # keeps the first.
    mutual = best == similarity.amax(dim=1).gather(1, column)
    keep = mutual & (best >= options.min_similarity)
    if options.max_ratio < 1.0:
        others = torch.where(mutual, _NONE, best)[..., None]
        similarity.scatter_(2, column[..., None], others)
        second = torch.maximum(similarity.amax(dim=2), similarity.amax(dim=1).gather(1, column))
        # Squared distances of unit vectors are 2 - 2 cos.
        keep &= (1.0 - best) <= options.max_ratio**2 * (1.0 - second.clamp(min=-1.0))
    return torch.stack([torch.where(keep, column, -1).float(), best.clamp(0.0, 1.0)], dim=-1)
