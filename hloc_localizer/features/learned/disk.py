"""DISK (Tyszkiewicz et al., NeurIPS 2020), with kornia's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from kornia import feature
from torch import Tensor

from hloc_localizer.errors import InputError
from hloc_localizer.features.learned.extraction import Extraction, local_maxima, strongest
from hloc_localizer.features.learned.options import DiskOptions
from hloc_localizer.weights.torch_file import load_into

_NMS_RADIUS = 2
_STRIDE = 16


class Disk:
    """The detector and descriptor of DISK."""

    descriptor_size = 128

    def __init__(self, network: feature.DISK, options: DiskOptions, device: torch.device) -> None:
        self._options = options
        self._network = network.eval().to(device, memory_format=torch.channels_last)

    @classmethod
    def untrained(cls, options: DiskOptions, device: torch.device) -> Disk:
        """Build with random weights, which take the same time as trained ones."""
        return cls(feature.DISK(), options, device)

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Any], path: Path, options: DiskOptions, device: torch.device
    ) -> Disk:
        """
        Build from the tensors of the published file, which keeps them under ``extractor``.

        :raises InputError: for tensors of another model.
        """
        extractor = tensors.get('extractor')
        if not isinstance(extractor, dict):
            raise InputError(f"weights {path}: another model, it lacks the 'extractor' of DISK")
        network = feature.DISK()
        load_into(network, extractor, path)
        return cls(network, options, device)

    def __call__(self, image: Tensor) -> Extraction:
        """Detect and describe in one image (1, C, H, W)."""
        height, width = image.shape[-2:]
        padding = (0, -width % _STRIDE, 0, -height % _STRIDE)
        padded = F.pad(image.expand(-1, 3, -1, -1), padding)
        heat, features = self._network.heatmap_and_dense_descriptors(padded)
        heat, features = heat[..., :height, :width], features[..., :height, :width]
        wanted = local_maxima(heat, _NMS_RADIUS) & (heat > self._options.detection_threshold)
        pixels, values = strongest(torch.where(wanted, heat, 0.0), self._options.max_keypoints)
        descriptors = features[0, :, pixels[:, 1], pixels[:, 0]].mT
        return Extraction(pixels.float(), values, F.normalize(descriptors, dim=-1))
