"""NetVLAD on VGG-16 (Arandjelovic et al., CVPR 2016), from the authors' MATLAB weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hloc_localizer.errors import InputError

_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_POOLINGS = (4, 9, 16, 23)
_VLAD, _WHITENING = 30, 33
"""Places in the list of layers that hloc's export of the MATLAB network has."""


class NetVlad(nn.Module):
    """VGG-16 without its last ReLU, soft-assigned residuals, whitening."""

    def __init__(self, layers: list[list[Tensor]], mean: Tensor) -> None:
        """
        Build the network from weights.

        :param layers: kernel (O, I, 3, 3) and bias of every convolution; assignment (K, D) and
            centres (K, D); whitening (G, K D) and bias.
        :param mean: (3,) RGB that is subtracted from pixels of 0 to 255.
        """
        super().__init__()
        *convolutions, (assignment, centres), (whitening, bias) = layers
        self.kernels = nn.ParameterList(kernel for kernel, _ in convolutions)
        self.biases = nn.ParameterList(bias for _, bias in convolutions)
        self.register_buffer('assignment', assignment)
        self.register_buffer('centres', centres)
        self.register_buffer('whitening', whitening)
        self.register_buffer('bias', bias)
        self.register_buffer('mean', mean)

    @property
    def size(self) -> int:
        """G, the length of a descriptor."""
        return len(self.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Describe an image (1, 3, H, W) of values in [0, 1]; (1, G) of unit length."""
        states = image * 255.0 - self.mean[:, None, None]
        for layer, kernel, bias in zip(_CONVOLUTIONS, self.kernels, self.biases, strict=True):
            if layer > 0:
                states = F.relu(states)
            if layer - 1 in _POOLINGS:
                states = F.max_pool2d(states, 2)
            states = F.conv2d(states, kernel, bias, padding=1)
        local = F.normalize(states.flatten(2), dim=1)[0]
        weights = (self.assignment @ local).softmax(dim=0)
        residuals = weights @ local.mT - weights.sum(dim=1, keepdim=True) * self.centres
        # The published whitening expects dimensions before words.
        vlad = F.normalize(F.normalize(residuals, dim=1).mT.reshape(1, -1), dim=1)
        return F.normalize(F.linear(vlad, self.whitening, self.bias), dim=1)


def read_netvlad(path: Path) -> NetVlad:
    """
    Read the file that hloc uses, ``VGG16-NetVLAD-Pitts30K.mat``.

    :raises InputError: when the file is another.
    """
    from scipy.io import loadmat

    try:
        network = loadmat(path, struct_as_record=False, squeeze_me=True)['net']
        convolutions = [_pair(network, layer) for layer in _CONVOLUTIONS]
        layers = [[_tensor(k.transpose(3, 2, 0, 1)), _tensor(b)] for k, b in convolutions]
        assignment, centres = _pair(network, _VLAD)
        # MATLAB stores the centres with the opposite sign.
        layers.append([_tensor(assignment.T), _tensor(-centres.T)])
        whitening, bias = _pair(network, _WHITENING)
        layers.append([_tensor(whitening.T), _tensor(np.atleast_1d(bias))])
        mean = _tensor(network.meta.normalization.averageImage[0, 0])
        _check_shapes(layers, mean)
    except (OSError, KeyError, AttributeError, IndexError, TypeError, ValueError,
            NotImplementedError) as error:  # fmt: skip
        first_line = (str(error).splitlines() or [''])[0]
        raise InputError(f"weights {path}: not hloc's NetVLAD ({first_line})") from error
    return NetVlad(layers, mean).eval()


def _pair(network: Any, layer: int) -> tuple[Any, Any]:
    weights = network.layers[layer].weights
    return weights[0], weights[1]


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def _check_shapes(layers: list[list[Tensor]], mean: Tensor) -> None:
    channels = 3
    for kernel, bias in layers[:-2]:
        if kernel.shape[1:] != (channels, 3, 3) or bias.shape != kernel.shape[:1]:
            raise ValueError('a convolution has another shape')
        channels = len(kernel)
    (assignment, centres), (whitening, bias) = layers[-2:]
    words = len(assignment)
    if assignment.shape != (words, channels) or centres.shape != (words, channels):
        raise ValueError('the visual words have another shape')
    if whitening.shape != (len(bias), words * channels) or mean.shape != (3,):
        raise ValueError('the whitening has another shape')
