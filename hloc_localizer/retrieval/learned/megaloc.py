"""MegaLoc: SALAD on DINOv2 (Berton and Masone, 2025; Izquierdo and Civera, CVPR 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hloc_localizer.retrieval.learned.vision_transformer import (
    VisionTransformer,
    VisionTransformerShape,
)
from hloc_localizer.weights.torch_file import load_into, read_tensors

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SINKHORN_STEPS = 3


@dataclass(frozen=True)
class MegaLocShape:
    """The size of the published network."""

    backbone: VisionTransformerShape = field(default_factory=VisionTransformerShape)
    clusters: int = 64
    cluster_size: int = 256
    token_size: int = 256
    hidden: int = 512
    size: int = 8448
    """The length of a descriptor."""


class _Salad(nn.Module):
    """Assign local features to clusters by optimal transport, with a bin for what is no use."""

    def __init__(self, shape: MegaLocShape) -> None:
        super().__init__()
        width, hidden = shape.backbone.width, shape.hidden
        self.token_features = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, shape.token_size)
        )
        # The published networks have dropout in place 1.
        self.cluster_features = _pointwise(width, hidden, shape.cluster_size)
        self.score = _pointwise(width, hidden, shape.clusters)
        self.dust_bin = nn.Parameter(torch.tensor(1.0))

    def forward(self, local: Tensor, token: Tensor) -> Tensor:
        """Aggregate features (1, C, h, w) and the class token (1, C) to (1, D) of unit length."""
        features = self.cluster_features(local).flatten(2)
        shares = _transport(self.score(local).flatten(2), self.dust_bin)
        clusters = F.normalize(features @ shares.mT, dim=1)
        whole = F.normalize(self.token_features(token), dim=-1)
        return F.normalize(torch.cat([whole, clusters.flatten(1)], dim=-1), dim=-1)


def _pointwise(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, hidden, 1), nn.Identity(), nn.ReLU(), nn.Conv2d(hidden, out, 1)
    )


def _transport(scores: Tensor, dust_bin: Tensor) -> Tensor:
    """
    Return how much of each feature goes to each cluster, by three steps of Sinkhorn.

    :param scores: (1, K, N) of N > K features; a feature has mass 1, as has a cluster, and the bin
        takes the remaining N - K.
    :return: (1, K, N).
    """
    clusters, features = scores.shape[1:]
    extended = torch.cat([scores, dust_bin.expand(1, 1, features)], dim=1)
    log_mass = scores.new_zeros(1, clusters + 1, 1)
    # The authors' bin would have no mass for images of fewer features than clusters.
    log_mass[:, -1] = math.log(max(features - clusters, 1))
    columns = torch.zeros_like(extended[:, :1])
    for _ in range(_SINKHORN_STEPS):
        rows = log_mass - (extended + columns).logsumexp(dim=2, keepdim=True)
        columns = -(extended + rows).logsumexp(dim=1, keepdim=True)
    return (extended + rows + columns)[:, :-1].exp()


class MegaLoc(nn.Module):
    """DINOv2, SALAD, linear projection; named as in the published file."""

    def __init__(self, shape: MegaLocShape) -> None:
        super().__init__()
        self.size = shape.size
        self.backbone = nn.ModuleDict({'model': VisionTransformer(shape.backbone)})
        length = shape.clusters * shape.cluster_size + shape.token_size
        self.aggregator = nn.ModuleDict(
            {'agg': _Salad(shape), 'linear': nn.Linear(length, shape.size)}
        )

    def forward(self, image: Tensor) -> Tensor:
        """Describe an image (1, 3, H, W) of values in [0, 1]; (1, G) of unit length."""
        mean, std = (image.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
        image = (image - mean) / std
        patch = self.backbone['model'].shape.patch
        size = [max(1, round(side / patch)) * patch for side in image.shape[-2:]]
        if size != list(image.shape[-2:]):
            image = F.interpolate(image, size, mode='bilinear', antialias=True)
        local, token = self.backbone['model'](image)
        aggregated = self.aggregator['agg'](local, token)
        return F.normalize(self.aggregator['linear'](aggregated), dim=-1)


def read_megaloc(path: Path, shape: MegaLocShape | None = None) -> MegaLoc:
    """
    Read the published file ``megaloc.torch``.

    :raises InputError: when the file is another.
    """
    tensors = read_tensors(path)
    network = MegaLoc(shape or MegaLocShape())
    load_into(network, tensors, path)
    return network.eval()
