"""
Extractors and LightGlue of cvg's own packages, where a user has installed them and a map asks.

``lightglue`` (github.com/cvg/LightGlue) and ``hloc`` (github.com/cvg/Hierarchical-Localization) are
in no package registry. Their networks equal ours; they are here for who wants to run the very same
code as in a paper or in another map. Weights come from our directory: both packages would download
what they do not find.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import torch
from torch import Tensor

from hloc_localizer.errors import InputError
from hloc_localizer.features.learned.extraction import Extraction, constant
from hloc_localizer.features.learned.options import (
    AlikedOptions,
    DiskOptions,
    LearnedOptions,
    SuperPointOptions,
)
from hloc_localizer.weights.catalogue import CATALOGUE
from hloc_localizer.weights.store import require
from hloc_localizer.weights.torch_file import read_tensors

_SIZES = {'superpoint': 256, 'aliked': 128, 'disk': 128}
_LUMA = (0.299, 0.587, 0.114)
_ORIGIN = {
    'lightglue': 'git+https://github.com/cvg/LightGlue',
    'hloc': 'git+https://github.com/cvg/Hierarchical-Localization',
}


class InstalledExtractor:
    """An extractor of ``lightglue`` or ``hloc`` behind the interface of ours."""

    def __init__(self, package: str, name: str, options: LearnedOptions, device: torch.device):
        """
        Build the network with the weights of our directory.

        :param package: ``lightglue`` or ``hloc``.
        :raises InputError: when the package or the weights are not there, or it lacks the model.
        """
        if name not in _SIZES:
            raise InputError(f"front end '{name}': '{package}' does not have it; set its "
                             'implementation to built_in')  # fmt: skip
        self.descriptor_size = _SIZES[name]
        self._transposed = package == 'hloc'
        self._channels = 1 if name == 'superpoint' else 3
        make = _from_lightglue if package == 'lightglue' else _from_hloc
        with _weights_of_ours():
            self._network = make(name, options).eval().to(device)

    def __call__(self, image: Tensor) -> Extraction:
        """Detect and describe in one image (1, C, H, W)."""
        found = self._network({'image': self._with_channels(image)})
        keypoints, descriptors = found['keypoints'][0], found['descriptors'][0]
        scores = found['keypoint_scores' if 'keypoint_scores' in found else 'scores'][0]
        if self._transposed:
            descriptors = descriptors.mT
        scores, order = scores.sort(descending=True)
        return Extraction(keypoints[order].float(), scores.float(), descriptors[order].float())

    def _with_channels(self, image: Tensor) -> Tensor:
        if self._channels == 3:
            return image.expand(-1, 3, -1, -1)
        if image.shape[1] == 1:
            return image
        return (image * constant(_LUMA, image)[:, None, None]).sum(dim=1, keepdim=True)


class Described(NamedTuple):
    """What LightGlue takes of one image."""

    keypoints: Tensor
    """(N, 2) pixels."""
    descriptors: Tensor
    """(N, D)."""
    size: Tensor
    """(1, 2) width and height."""


class InstalledLightGlue:
    """
    cvg's LightGlue behind the interface of ours.

    Pair by pair, because its early exit and its pruning differ from pair to pair.
    """

    def __init__(self, name: str, options: LearnedOptions, device: torch.device) -> None:
        """
        Build the network with the weights of our directory.

        :raises InputError: when the package or the weights are not there, or it lacks the model.
        """
        package = _imported('lightglue', 'lightglue')
        if name not in package.LightGlue.features:
            raise InputError(f"front end '{name}': 'lightglue' has no LightGlue for it; set its "
                             'implementation to built_in')  # fmt: skip
        with _weights_of_ours():
            network = package.LightGlue(name, filter_threshold=options.min_match_score)
        self._network = network.eval().to(device)

    def prepare(self, keypoints: Tensor, descriptors: Tensor, size: tuple[int, int]) -> Described:
        """Gather what belongs to one image."""
        return Described(keypoints, descriptors, constant(size, keypoints)[None])

    def resident(self, prepared: Described) -> Described:
        """Halve the descriptors; keypoints need their digits."""
        return prepared._replace(descriptors=prepared.descriptors.half())

    def __call__(self, query: Described, references: Sequence[Described]) -> Tensor:
        """Match; (B, M, 2) of index into the reference or -1, and score."""
        return torch.stack([self._pair(query, reference) for reference in references])

    def _pair(self, query: Described, reference: Described) -> Tensor:
        found = self._network({'image0': _side(query), 'image1': _side(reference)})
        return torch.stack([found['matches0'][0].float(), found['matching_scores0'][0]], dim=-1)


def _side(image: Described) -> Mapping[str, Tensor]:
    return {
        'keypoints': image.keypoints[None].float(),
        'descriptors': image.descriptors[None].float(),
        'image_size': image.size,
    }


def _from_lightglue(name: str, options: LearnedOptions) -> Any:
    package = _imported('lightglue', 'lightglue')
    limits: dict[str, Any] = {'max_num_keypoints': options.max_keypoints}
    if isinstance(options, SuperPointOptions):
        return package.SuperPoint(
            **limits,
            nms_radius=options.nms_radius,
            detection_threshold=options.detection_threshold,
        )
    if isinstance(options, AlikedOptions):
        return package.ALIKED(
            **limits, model_name=options.weights, detection_threshold=options.detection_threshold
        )
    assert isinstance(options, DiskOptions), name
    return package.DISK(**limits, detection_threshold=options.detection_threshold)


def _from_hloc(name: str, options: LearnedOptions) -> Any:
    extractors = _imported('hloc', 'hloc.extractors')
    dynamic_load = _imported('hloc', 'hloc.utils.base_model').dynamic_load
    conf: dict[str, Any] = {'name': name}
    if isinstance(options, SuperPointOptions):
        conf |= {
            'max_keypoints': options.max_keypoints,
            'nms_radius': options.nms_radius,
            'keypoint_threshold': options.detection_threshold,
        }
    elif isinstance(options, AlikedOptions):
        conf |= {
            'max_num_keypoints': options.max_keypoints,
            'model_name': options.weights,
            'detection_threshold': options.detection_threshold,
        }
    else:
        assert isinstance(options, DiskOptions)
        conf |= {
            'max_keypoints': options.max_keypoints,
            'detection_threshold': options.detection_threshold,
        }
    try:
        return dynamic_load(extractors, name)(conf)
    except ImportError as error:  # each extractor needs packages of its own
        raise InputError(f"hloc's {name} cannot be used: {error}") from error


def _imported(package: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:  # torchvision of another torch too
        raise InputError(
            f"implementation '{package}' is not usable here ({error}): run 'pip install "
            f"{_ORIGIN[package]}', or set implementation to built_in"
        ) from error


@contextlib.contextmanager
def _weights_of_ours() -> Iterator[None]:
    """Give the packages our verified files where they would download."""
    original = torch.hub.load_state_dict_from_url

    def load(url: str, *_: Any, **__: Any) -> dict[str, Any]:
        file_name = PurePosixPath(urlsplit(url).path).name
        for checkpoint in CATALOGUE.values():
            if checkpoint.file_name == file_name:
                return read_tensors(require(checkpoint))
        raise InputError(f'{url}: not among the known weights, and nothing is downloaded')

    torch.hub.load_state_dict_from_url = load
    try:
        yield
    finally:
        torch.hub.load_state_dict_from_url = original
