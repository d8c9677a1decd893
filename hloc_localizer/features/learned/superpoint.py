"""SuperPoint (DeTone et al., CVPRW 2018), for the weights that Magic Leap published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hloc_localizer.features.learned.extraction import Extraction, constant, local_maxima, strongest
from hloc_localizer.features.learned.options import SuperPointOptions
from hloc_localizer.weights.torch_file import load_into

_CELL = 8
_BORDER = 4
_LUMA = (0.299, 0.587, 0.114)


class SuperPointNetwork(nn.Module):
    """The network of the paper's section 3: a VGG encoder with a detector and a descriptor head."""

    def __init__(self) -> None:
        super().__init__()
        previous = 1
        for block, width in enumerate((64, 64, 128, 128), start=1):
            self.add_module(f'conv{block}a', nn.Conv2d(previous, width, 3, padding=1))
            self.add_module(f'conv{block}b', nn.Conv2d(width, width, 3, padding=1))
            previous = width
        self.convPa = nn.Conv2d(128, 256, 3, padding=1)
        self.convPb = nn.Conv2d(256, 65, 1)
        self.convDa = nn.Conv2d(128, 256, 3, padding=1)
        self.convDb = nn.Conv2d(256, 256, 1)

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """
        Run the network on an image (1, 1, H, W), H and W multiples of 8.

        :return: keypoint logits (1, 65, H/8, W/8), the last for "none"; unit descriptors
            (1, 256, H/8, W/8).
        """
        states = grey
        for block in range(1, 5):
            states = F.relu(self.get_submodule(f'conv{block}a')(states))
            states = F.relu(self.get_submodule(f'conv{block}b')(states))
            if block < 4:
                states = F.max_pool2d(states, 2)
        logits = self.convPb(F.relu(self.convPa(states)))
        descriptors = self.convDb(F.relu(self.convDa(states)))
        return logits, F.normalize(descriptors, dim=1)


class SuperPoint:
    """The detector and descriptor of SuperPoint."""

    descriptor_size = 256

    def __init__(
        self, network: SuperPointNetwork, options: SuperPointOptions, device: torch.device
    ) -> None:
        self._options = options
        self._network = network.eval().to(device, memory_format=torch.channels_last)

    @classmethod
    def untrained(cls, options: SuperPointOptions, device: torch.device) -> SuperPoint:
        """Build with random weights, which take the same time as trained ones."""
        return cls(SuperPointNetwork(), options, device)

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Any], path: Path, options: SuperPointOptions, device: torch.device
    ) -> SuperPoint:
        """
        Build from the tensors of the published file.

        :raises InputError: for tensors of another model.
        """
        network = SuperPointNetwork()
        load_into(network, tensors, path)
        return cls(network, options, device)

    def __call__(self, image: Tensor) -> Extraction:
        """Detect and describe in one image (1, C, H, W)."""
        grey = image
        if image.shape[1] == 3:
            grey = (image * constant(_LUMA, image)[:, None, None]).sum(dim=1, keepdim=True)
        height, width = (size // _CELL * _CELL for size in grey.shape[-2:])
        logits, features = self._network(grey[..., :height, :width])
        heat = F.pixel_shuffle(logits.softmax(dim=1)[:, : _CELL * _CELL], _CELL)
        wanted = local_maxima(heat, self._options.nms_radius) & _inside(heat, _BORDER)
        wanted &= heat > self._options.detection_threshold
        pixels, values = strongest(torch.where(wanted, heat, 0.0), self._options.max_keypoints)
        descriptors = F.normalize(_sample(features, pixels), dim=-1)
        return Extraction(pixels.float(), values, descriptors)


def _inside(heat: Tensor, border: int) -> Tensor:
    """Mark the pixels of (1, 1, H, W) that are not on the border."""
    inside = torch.zeros_like(heat, dtype=torch.bool)
    inside[..., border:-border, border:-border] = True
    return inside


def _sample(features: Tensor, pixels: Tensor) -> Tensor:
    """Read (1, C, h, w), cells of 8 pixels, at pixels (K, 2) by the authors' convention; (K, C)."""
    size = constant((features.shape[-1], features.shape[-2]), pixels) * _CELL
    places = (pixels - _CELL / 2 + 0.5) / (size - _CELL / 2 - 0.5) * 2.0 - 1.0
    sampled = F.grid_sample(features, places[None, None], align_corners=True)
    return sampled[0, :, 0].mT
