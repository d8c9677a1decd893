"""A learned global descriptor: an image to a vector, on one device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.features.learned.device import (
    memory_guard,
    release_memory,
    resolve_device,
)
from hloc_localizer.features.learned.extraction import image_tensor
from hloc_localizer.retrieval.learned.eigenplaces import read_eigenplaces
from hloc_localizer.retrieval.learned.megaloc import read_megaloc
from hloc_localizer.retrieval.learned.netvlad import read_netvlad
from hloc_localizer.retrieval.learned.options import LearnedDescriptorOptions
from hloc_localizer.weights.catalogue import find_checkpoint
from hloc_localizer.weights.store import require

_READERS: dict[str, Callable[[Path], torch.nn.Module]] = {
    'netvlad': read_netvlad,
    'eigenplaces': read_eigenplaces,
    'megaloc': read_megaloc,
}


_SMALLER = 'build the map with a lower image_descriptor.max_image_size'


class LearnedDescriptor:
    """Describes an image by a network, preprocessed as hloc does."""

    def __init__(
        self,
        *,
        name: str,
        network: torch.nn.Module,
        options: LearnedDescriptorOptions,
        device: torch.device,
    ) -> None:
        self.name = name
        self.size: int = network.size
        self.options = options
        self.device = device
        self._network: torch.nn.Module | None = network.to(device)

    def describe_image(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the descriptor (G,) of unit length of an image (H, W) grey or (H, W, 3) RGB."""
        if self._network is None:
            raise HlocLocalizerError(f"global descriptor '{self.name}' was released")
        reduced = _reduced(image, self.options.max_image_size)
        with memory_guard(self.device, _SMALLER), torch.inference_mode():
            pixels = image_tensor(reduced, self.device).expand(-1, 3, -1, -1)
            return np.asarray(self._network(pixels)[0].cpu().numpy(), np.float32)

    def release(self) -> None:
        """Give the memory of the network back; the descriptor cannot be used afterwards."""
        self._network = None
        release_memory(self.device)


def create_learned_descriptor(
    name: str, options: LearnedDescriptorOptions | None = None
) -> LearnedDescriptor:
    """
    Read the network of that name from the weights directory.

    :raises InputError: for an unknown name, missing or wrong weights, or an absent device.
    """
    if name not in _READERS:
        raise InputError(f"global descriptor '{name}' is not known; known: {', '.join(_READERS)}")
    options = options or LearnedDescriptorOptions()
    device = resolve_device(options.device)
    network = _READERS[name](require(find_checkpoint(name)))
    with memory_guard(device, 'close other programs that use it'):
        return LearnedDescriptor(name=name, network=network, options=options, device=device)


def _reduced(image: NDArray[np.uint8], longest: int) -> NDArray[Any]:
    """Reduce an image whose longest side is longer, as hloc does: in floating point."""
    height, width = image.shape[:2]
    if max(height, width) <= longest:
        return image
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA))
