"""XFeat: fast features for CPUs (Potje et al., CVPR 2024), with kornia's network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from kornia.feature.xfeat import XFeatModel
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hloc_localizer.features.learned.extraction import (
    Extraction,
    constant,
    local_maxima,
    soft_argmax,
    strongest,
)
from hloc_localizer.features.learned.options import XFeatOptions
from hloc_localizer.weights.torch_file import load_into

_CELL = 8
_NMS_RADIUS = 2
_TEMPERATURE = 2.0
"""Keypoints move to the mean of their 3x3 pixels weighted by the root of the probability, which
gave the smallest epipolar errors of about 25 variants that were tried."""
_RARE = 1e-6


class XFeat:
    """
    The sparse detector and descriptor of XFeat.

    The network is kornia's with its normalisations multiplied into the convolutions; detection
    follows the authors' code, but never waits for the device.
    """

    descriptor_size = 64

    def __init__(self, network: XFeatModel, options: XFeatOptions, device: torch.device) -> None:
        self._options = options
        self._network = _fused(network).to(device, memory_format=torch.channels_last)

    @classmethod
    def untrained(cls, options: XFeatOptions, device: torch.device) -> XFeat:
        """Build with random weights, which take the same time as trained ones."""
        return cls(XFeatModel(), options, device)

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Any], path: Path, options: XFeatOptions, device: torch.device
    ) -> XFeat:
        """
        Build from the tensors of the published file.

        :raises InputError: for tensors of another model.
        """
        network = XFeatModel()
        load_into(network, tensors, path)
        return cls(network, options, device)

    def __call__(self, image: Tensor) -> Extraction:
        """Detect and describe in one image (1, C, H, W)."""
        height, width = image.shape[-2:]
        # The network wants multiples of 32; the authors round down.
        size = (max(32, height // 32 * 32), max(32, width // 32 * 32))
        grey = image.mean(dim=1, keepdim=True)
        resized = F.interpolate(grey, size, mode='bilinear', align_corners=False)
        features, logits, reliability = self._network(resized)
        heat = _heatmap(logits)
        wanted = local_maxima(heat, _NMS_RADIUS) & (heat > self._options.detection_threshold)
        scores = torch.where(wanted, heat * _dense(reliability, size), 0.0)
        pixels, values = strongest(scores, self._options.max_keypoints)
        descriptors = F.normalize(_sample(F.normalize(features, dim=1), pixels, size), dim=-1)
        points = pixels.float()
        if self._options.subpixel:
            points = points + soft_argmax(heat.clamp(min=_RARE).log(), pixels, 1, _TEMPERATURE)
        ratio = constant((width / size[1], height / size[0]), points)
        return Extraction((points + 0.5) * ratio - 0.5, values, descriptors)


def _heatmap(logits: Tensor) -> Tensor:
    """Turn logits (1, 65, h, w), the last for "none", into probabilities (1, 1, 8 h, 8 w)."""
    return F.pixel_shuffle(logits.softmax(dim=1)[:, : _CELL * _CELL], _CELL)


def _dense(reliability: Tensor, size: tuple[int, int]) -> Tensor:
    """Read a map (1, 1, h, w) at every pixel of the image, by the authors' convention."""
    height, width = size
    y = torch.arange(height, device=reliability.device, dtype=reliability.dtype)
    x = torch.arange(width, device=reliability.device, dtype=reliability.dtype)
    rows = _interpolation(y, height, reliability.shape[-2])
    columns = _interpolation(x, width, reliability.shape[-1])
    return rows @ reliability @ columns.mT


def _interpolation(positions: Tensor, size: int, cells: int) -> Tensor:
    """
    Return the matrix (N, cells) that interpolates linearly at positions in an image of that size.

    Position p lies at ``p * cells / (size - 1) - 0.5``, and what is outside the map counts as 0:
    the convention that the published weights were trained with.
    """
    place = positions * cells / (size - 1) - 0.5
    distance = (place[:, None] - torch.arange(cells, device=place.device)).abs()
    return (1.0 - distance).clamp(min=0.0)


def _sample(features: Tensor, pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Read (1, C, h, w) bicubically at pixels (K, 2) of an image of that size; (K, C)."""
    extent = constant((size[1] - 1, size[0] - 1), pixels)
    grid = (2.0 * pixels / extent - 1.0)[None, None]
    sampled = F.grid_sample(features, grid, mode='bicubic', align_corners=False)
    return sampled[0, :, 0].mT


def _fused(network: XFeatModel) -> nn.Module:
    """Return a copy in which batch normalisation is part of the convolution before it."""
    network = copy.deepcopy(network).eval()
    network.fine_matcher = nn.Identity()  # for semi-dense matching only
    for block in network.modules():
        if isinstance(getattr(block, 'layer', None), nn.Sequential):
            convolution, normalisation, activation = block.layer
            block.layer = nn.Sequential(fuse_conv_bn_eval(convolution, normalisation), activation)
    return network
