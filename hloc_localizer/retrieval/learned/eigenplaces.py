"""EigenPlaces on a ResNet (Berton et al., ICCV 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from hloc_localizer.errors import InputError
from hloc_localizer.weights.torch_file import load_into, read_tensors

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STAGES = 4
_FIRST_STAGE = 4
"""The backbone is a list: convolution, normalisation, ReLU, pooling, then the four stages."""


class _Bottleneck(nn.Module):
    """The residual block of ResNet-50 and deeper, which strides in its 3x3 convolution."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample: nn.Module | None = None
        if inputs != 4 * width or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, states: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(states)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + (states if self.downsample is None else self.downsample(states)))


class _GeneralizedMean(nn.Module):
    """Pool by a power mean with a learned power (Radenovic et al., TPAMI 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(Tensor([3.0]))

    def forward(self, states: Tensor) -> Tensor:
        powers = states.clamp(min=1e-6).pow(self.p)
        return powers.mean(dim=(2, 3)).pow(1.0 / self.p)


class EigenPlaces(nn.Module):
    """A ResNet without its head, generalised mean, linear projection."""

    def __init__(self, blocks: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.size = size
        stages, inputs = [], 64
        for stage, count in enumerate(blocks):
            width = 64 << stage
            strides = [1 if stage == 0 else 2] + [1] * (count - 1)
            stages.append(
                nn.Sequential(
                    *(
                        _Bottleneck(inputs if place == 0 else 4 * width, width, stride)
                        for place, stride in enumerate(strides)
                    )
                )
            )
            inputs = 4 * width
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.MaxPool2d(3, 2, 1), *stages,
        )  # fmt: skip
        # Places 1 and 3 have weights; the others only keep the numbers of the published names.
        self.aggregation = nn.Sequential(
            nn.Identity(), _GeneralizedMean(), nn.Identity(), nn.Linear(inputs, size)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Describe an image (1, 3, H, W) of values in [0, 1]; (1, G) of unit length."""
        mean, std = (image.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
        local = F.normalize(self.backbone((image - mean) / std), dim=1)
        return F.normalize(self.aggregation(local), dim=1)


def read_eigenplaces(path: Path) -> EigenPlaces:
    """
    Read a published file of EigenPlaces on ResNet-50 or ResNet-101, of any length.

    :raises InputError: when the file is another.
    """
    tensors = read_tensors(path)
    blocks = tuple(_blocks(tensors, _FIRST_STAGE + stage) for stage in range(_STAGES))
    projection = tensors.get('aggregation.3.bias')
    if min(blocks) == 0 or projection is None or 'backbone.4.0.conv3.weight' not in tensors:
        raise InputError(f'weights {path}: another model, not EigenPlaces on ResNet-50 or -101')
    network = EigenPlaces(blocks, len(projection))
    load_into(network, tensors, path)
    return network.eval()


def _blocks(tensors: dict[str, Any], stage: int) -> int:
    """Count the blocks of a stage by the names of its tensors; 64 are more than any has."""
    names = (f'backbone.{stage}.{block}.conv1.weight' for block in range(64))
    return sum(name in tensors for name in names)
