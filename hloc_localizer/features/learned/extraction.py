"""What an extractor gives, and the steps that several extractors share."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


class Extraction(NamedTuple):
    """
    Always K keypoints, so that nothing has to wait for the device to learn how many there are.

    Those with a score of 0 or less are padding, and come last.
    """

    keypoints: Tensor
    """(K, 2) pixels of the image given, the centre of the first pixel is (0, 0)."""
    scores: Tensor
    """(K,) descending."""
    descriptors: Tensor
    """(K, D) of unit length."""


class Extractor(Protocol):
    """A network that detects and describes."""

    @property
    def descriptor_size(self) -> int:
        """D."""
        ...

    def __call__(self, image: Tensor) -> Extraction:
        """Detect and describe in one image (1, C, H, W) of values in [0, 1], C = 1 or 3."""
        ...


def image_tensor(image: NDArray[Any], device: torch.device) -> Tensor:
    """
    Turn an image (H, W) or (H, W, 3), 0 to 255, into a tensor (1, C, H, W) of values in [0, 1].

    The memory stays as it is, channels last, which convolutions like best.
    """
    channels_last = image if image.ndim == 3 else image[..., None]
    # PyTorch warns of arrays that nobody may write to, as those in messages are.
    pixels = torch.from_numpy(np.require(channels_last, requirements=('C', 'W')))
    values = pixels.to(device, non_blocking=True).float().div_(255.0)
    return values[None].permute(0, 3, 1, 2)


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """
    Return numbers as a float32 tensor on the device of another.

    They are kept: to bring new ones to a GPU makes the host wait for all work before.
    """
    return _constant(values, like.device)


@functools.lru_cache(maxsize=1024)
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


def local_maxima(scores: Tensor, radius: int) -> Tensor:
    """
    Mark the maxima of their windows, where the window is whole.

    :param scores: (1, 1, H, W).
    :return: (1, 1, H, W) bool.
    """
    marked = torch.zeros_like(scores, dtype=torch.bool)
    inner = scores[..., radius:-radius, radius:-radius]
    marked[..., radius:-radius, radius:-radius] = inner == _window_maxima(scores, radius)
    return marked


def _window_maxima(scores: Tensor, radius: int) -> Tensor:
    """Return the maxima of all whole windows; many times faster on a CPU than max pooling."""
    for dim in (-1, -2):
        length = scores.shape[dim] - 2 * radius
        shifted = [scores.narrow(dim, step, length) for step in range(2 * radius + 1)]
        highest = torch.maximum(shifted[0], shifted[1])
        for values in shifted[2:]:
            highest = torch.maximum(highest, values)
        scores = highest
    return scores


def strongest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """
    Return the places of the highest scores, descending.

    :param scores: (1, 1, H, W); what is not to be taken has 0 or less.
    :return: pixels (K, 2) as x, y integers, and scores (K,).
    """
    flat = scores.flatten()
    values, places = flat.topk(min(count, len(flat)))
    width = scores.shape[-1]
    return torch.stack([places % width, places // width], dim=-1), values


def soft_argmax(scores: Tensor, pixels: Tensor, radius: int, temperature: float) -> Tensor:
    """
    Return the offsets (K, 2) from pixels (K, 2) to the mean under softmax(score / temperature).

    :param scores: (1, 1, H, W).
    """
    height, width = scores.shape[-2:]
    steps = torch.arange(-radius, radius + 1, device=scores.device)
    offset_y, offset_x = torch.meshgrid(steps, steps, indexing='ij')
    offsets = torch.stack([offset_x, offset_y], dim=-1).reshape(-1, 2)
    around = pixels[:, None] + offsets
    places = around[..., 1].clamp(0, height - 1) * width + around[..., 0].clamp(0, width - 1)
    weights = (scores.flatten()[places] / temperature).softmax(dim=-1)
    return weights @ offsets.to(scores.dtype)


def sample_bilinear(values: Tensor, pixels: Tensor) -> Tensor:
    """Read (1, C, H, W) at pixels (K, 2), the centre of the first being (0, 0); (K, C)."""
    size = constant((values.shape[-1], values.shape[-2]), pixels)
    grid = (2 * pixels + 1) / size - 1
    sampled = F.grid_sample(values, grid[None, None].to(values.dtype), align_corners=False)
    return sampled[0, :, 0].mT
