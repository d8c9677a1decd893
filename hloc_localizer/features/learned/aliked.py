"""ALIKED: licence-clean features with sub-pixel keypoints (Zhao et al., 2023), kornia's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from kornia import feature
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from hloc_localizer.features.learned.extraction import (
    Extraction,
    constant,
    local_maxima,
    sample_bilinear,
    soft_argmax,
    strongest,
)
from hloc_localizer.features.learned.options import AlikedOptions
from hloc_localizer.weights.torch_file import load_into

_NMS_RADIUS = 2
_TEMPERATURE = 0.1
_STRIDE = 32
_EPSILON = 1e-12
_CORNERS = (0, 0, 1, 0, 0, 1, 1, 1)
"""The four pixels around a place, x and y of each."""


class _Pyramid(NamedTuple):
    """Features (1, 32, h, w) at full, 1/2, 1/8 and 1/32 size of the padded image."""

    levels: list[Tensor]
    size: tuple[int, int]
    """(height, width) of the image before padding."""
    padding: tuple[int, int]
    """(left, top)."""


class Aliked:
    """
    The detector and descriptor of ALIKED-N(16).

    The authors concatenate the pyramid at full size, 128 channels a pixel. Here it is read where a
    keypoint needs it, and the detector's first convolution, being linear, comes before the
    upsampling: the same numbers without 100 MB of memory traffic an image.
    """

    descriptor_size = 128

    def __init__(
        self, network: feature.ALIKED, options: AlikedOptions, device: torch.device
    ) -> None:
        self._options = options
        _fold_normalisation(network.eval())
        self._network = network.to(device, memory_format=torch.channels_last)

    @classmethod
    def untrained(cls, options: AlikedOptions, device: torch.device) -> Aliked:
        """Build with random weights, which take the same time as trained ones."""
        return cls(feature.ALIKED(options.weights), options, device)

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Any], path: Path, options: AlikedOptions, device: torch.device
    ) -> Aliked:
        """
        Build from the tensors of the published file.

        :raises InputError: for tensors of another model.
        """
        network = feature.ALIKED(options.weights)
        # The grid of the detector's window is a constant that the published files leave out.
        load_into(network, {'dkd.hw_grid': network.dkd.hw_grid, **tensors}, path)
        return cls(network, options, device)

    def __call__(self, image: Tensor) -> Extraction:
        """Detect and describe in one image (1, C, H, W)."""
        pyramid = self._pyramid(image.expand(-1, 3, -1, -1))
        scores = self._scores(pyramid)
        wanted = local_maxima(scores, _NMS_RADIUS) & (scores > self._options.detection_threshold)
        pixels, values = strongest(torch.where(wanted, scores, 0.0), self._options.max_keypoints)
        keypoints = pixels + soft_argmax(scores, pixels, _NMS_RADIUS, _TEMPERATURE)
        # ALIKED scores a keypoint where it moved to; padding stays padding.
        moved = sample_bilinear(scores, keypoints)[:, 0]
        moved, order = torch.where(values > 0.0, moved, 0.0).sort(descending=True)
        keypoints = keypoints[order]
        return Extraction(keypoints, moved, self._describe(pyramid, keypoints))

    def _pyramid(self, image: Tensor) -> _Pyramid:
        height, width = image.shape[-2:]
        extra = -width % _STRIDE, -height % _STRIDE
        left, top = extra[0] // 2, extra[1] // 2
        sides = (left, extra[0] - left, top, extra[1] - top)
        states = F.pad(image, sides, mode='replicate')
        net = self._network
        levels = []
        for block, pool, reduce in (
            (net.block1, None, net.conv1),
            (net.block2, net.pool2, net.conv2),
            (net.block3, net.pool4, net.conv3),
            (net.block4, net.pool4, net.conv4),
        ):
            states = _run_block(block, states if pool is None else pool(states))
            levels.append(_selu(reduce(states)))
        return _Pyramid(levels, (height, width), (left, top))

    def _scores(self, pyramid: _Pyramid) -> Tensor:
        """Return the score map (1, 1, H, W)."""
        first, *rest = self._network.score_head
        full = pyramid.levels[0].shape[-2:]
        weights = first.weight.chunk(len(pyramid.levels), dim=1)
        summed = F.conv2d(pyramid.levels[0], weights[0])
        for level, weight in zip(pyramid.levels[1:], weights[1:], strict=True):
            reduced = F.conv2d(level, weight)
            summed = summed + F.interpolate(reduced, full, mode='bilinear', align_corners=True)
        scores = nn.Sequential(*rest)(summed).sigmoid()
        (left, top), (height, width) = pyramid.padding, pyramid.size
        return scores[..., top : top + height, left : left + width]

    def _describe(self, pyramid: _Pyramid, keypoints: Tensor) -> Tensor:
        """Return descriptors (K, 128) from deformed sampling positions (the paper's SDDH)."""
        head = self._network.desc_head
        height, width = pyramid.size
        last = constant((width - 1, height - 1), keypoints)
        side = head.kernel_size
        steps = torch.arange(side, device=keypoints.device)
        corner = (keypoints.floor() - side // 2).clamp(min=0.0).minimum(last - side)
        around_y, around_x = torch.meshgrid(steps, steps, indexing='ij')
        patch = corner[:, None] + torch.stack([around_x, around_y], dim=-1).reshape(-1, 2)
        features, inverse = _read(pyramid, patch)
        patches = (features * inverse[..., None]).mT.unflatten(-1, (side, side))
        offsets = head.offset_conv(patches).flatten(1)
        largest = max(height, width) / 4.0
        offsets = offsets.clamp(-largest, largest).unflatten(1, (2, head.n_pos)).mT
        samples = _read_between(pyramid, keypoints[:, None] + offsets, last)
        samples = _selu(F.linear(samples, head.sf_conv.weight.flatten(1)))
        described = torch.einsum('kpc,pcd->kd', samples, head.agg_weights)
        return F.normalize(described, dim=-1)


def _read(pyramid: _Pyramid, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (..., 128) at whole pixels (..., 2) of the image, and 1 / their norms."""
    height, width = pyramid.levels[0].shape[-2:]
    places = pixels + constant(pyramid.padding, pixels)
    grid = places / constant((width - 1, height - 1), pixels) * 2.0 - 1.0
    grid = grid.reshape(1, -1, 1, 2)
    levels = [F.grid_sample(level, grid, align_corners=True) for level in pyramid.levels]
    features = torch.cat([level[0, :, :, 0].mT for level in levels], dim=1)
    inverse = features.norm(dim=1).clamp(min=_EPSILON).reciprocal()
    shape = pixels.shape[:-1]
    return features.unflatten(0, shape), inverse.unflatten(0, shape)


def _read_between(pyramid: _Pyramid, places: Tensor, last: Tensor) -> Tensor:
    """Interpolate the normalised features (..., 128) at places (..., 2); 0 outside the image."""
    corners = places.floor()[..., None, :] + constant(_CORNERS, places).unflatten(0, (4, 2))
    weights = (1.0 - (places[..., None, :] - corners).abs()).prod(dim=-1)
    inside = ((corners >= 0.0) & (corners <= last)).all(dim=-1)
    features, inverse = _read(pyramid, corners)
    return ((weights * inside * inverse)[..., None, :] @ features).squeeze(-2)


def _run_block(block: nn.Module, states: Tensor) -> Tensor:
    """Run a block of two convolutions, with a shortcut where it has one."""
    inner = _selu(_convolve(block.conv1, states))
    inner = _convolve(block.conv2, inner)
    shortcut = getattr(block, 'downsample', None)
    return _selu(inner if shortcut is None else inner + shortcut(states))


def _selu(states: Tensor) -> Tensor:
    return F.selu(states, inplace=True)


def _convolve(convolution: Any, states: Tensor) -> Tensor:
    if isinstance(convolution, nn.Conv2d):
        return F.conv2d(states, convolution.weight, convolution.bias, padding=convolution.padding)
    return _deformable(convolution, states)


def _deformable(convolution: Any, states: Tensor) -> Tensor:
    """Convolve 3x3 at places that the network shifts (deformable convolution, version 1)."""
    height, width = states.shape[-2:]
    largest = max(height, width) / 4.0
    kernel = convolution.regular_conv
    shifts = convolution.offset_conv(states).clamp(-largest, largest)
    shifts = shifts[0].unflatten(0, (-1, 2))  # (9, 2, H, W): y and x for each tap
    y = torch.arange(height, device=states.device, dtype=states.dtype)[:, None]
    x = torch.arange(width, device=states.device, dtype=states.dtype)
    step = torch.arange(-1, 2, device=states.device, dtype=states.dtype)
    tap_y, tap_x = step.repeat_interleave(3)[:, None, None], step.repeat(3)[:, None, None]
    grid_x = 2.0 * (x + tap_x + shifts[:, 1] + 0.5) / width - 1.0
    grid_y = 2.0 * (y + tap_y + shifts[:, 0] + 0.5) / height - 1.0
    grid = torch.stack([grid_x, grid_y], dim=-1).reshape(1, -1, width, 2)
    taps = F.grid_sample(states, grid, align_corners=False)[0].unflatten(1, (9, height))
    columns = taps.permute(1, 0, 2, 3).reshape(-1, height * width)
    weight = kernel.weight.flatten(2).permute(0, 2, 1).flatten(1)
    summed = torch.addmm(kernel.bias[:, None], weight, columns)
    return summed.reshape(1, -1, height, width)


def _fold_normalisation(network: feature.ALIKED) -> None:
    """Multiply the batch normalisations of the blocks into the convolutions before them."""
    for block in (network.block1, network.block2, network.block3, network.block4):
        for convolution, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
            kernel = getattr(convolution, 'regular_conv', convolution)
            kernel.weight, kernel.bias = fuse_conv_bn_weights(
                kernel.weight, kernel.bias, norm.running_mean, norm.running_var,
                norm.eps, norm.weight, norm.bias,
            )  # fmt: skip
