"""Build a learned front end from its options and the weights on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from hloc_localizer.errors import InputError
from hloc_localizer.features.learned.device import (
    compute_type,
    describe_device,
    limit_threads,
    memory_guard,
    resolve_device,
)
from hloc_localizer.features.learned.extraction import Extractor
from hloc_localizer.features.learned.front_end import LearnedFrontEnd, Matcher
from hloc_localizer.features.learned.lightglue import LightGlue, LightGlueShape, load_lightglue
from hloc_localizer.features.learned.nearest_neighbour import DeviceNearestNeighbour
from hloc_localizer.features.learned.options import AlikedOptions, LearnedOptions
from hloc_localizer.weights.catalogue import Checkpoint, find_checkpoint
from hloc_localizer.weights.store import require
from hloc_localizer.weights.torch_file import read_tensors

_LOG = logging.getLogger(__name__)


def _xfeat() -> Any:
    from hloc_localizer.features.learned.xfeat import XFeat

    return XFeat


def _aliked() -> Any:
    from hloc_localizer.features.learned.aliked import Aliked

    return Aliked


def _disk() -> Any:
    from hloc_localizer.features.learned.disk import Disk

    return Disk


def _superpoint() -> Any:
    from hloc_localizer.features.learned.superpoint import SuperPoint

    return SuperPoint


@dataclass(frozen=True)
class _Parts:
    extractor: Callable[[], Any]
    """Imports and returns the class of the extractor."""
    weights: str
    lightglue: str
    shape: LightGlueShape


_PARTS = {
    'xfeat': _Parts(
        _xfeat, 'xfeat', 'xfeat-lighterglue', LightGlueShape(64, width=96, heads=1, layers=6)
    ),
    'aliked': _Parts(_aliked, 'aliked-n16', 'aliked-lightglue', LightGlueShape(128)),
    'disk': _Parts(_disk, 'disk', 'disk-lightglue', LightGlueShape(128)),
    'superpoint': _Parts(_superpoint, 'superpoint', 'superpoint-lightglue', LightGlueShape(256)),
}


def create_learned(name: str, options: LearnedOptions) -> LearnedFrontEnd:
    """
    Build the front end of that name.

    :raises InputError: for weights that are missing or wrong, or a device that is not there.
    """
    device = resolve_device(options.device)
    limit_threads(options.threads)
    extractor, matcher = build_networks(name, options, device)
    _LOG.info(
        "front end '%s' (%s) with %s on %s",
        name,
        options.implementation.replace('_', ' '),
        options.matcher.replace('_', ' '),
        describe_device(device),
    )
    return LearnedFrontEnd(
        name=name, extractor=extractor, matcher=matcher, options=options, device=device
    )


def build_networks(
    name: str, options: LearnedOptions, device: torch.device, *, seeded: bool = False
) -> tuple[Extractor, Matcher]:
    """
    Build the extractor of that name, and the matcher that the options want.

    :param seeded: take random weights, which need no files and serve to measure time.
    :raises InputError: for weights that are missing or wrong.
    """
    dtype = compute_type(device, options.precision)
    if device.type == 'cpu' and dtype == torch.float16:
        raise InputError("option 'precision': a CPU does not compute in float16")
    with memory_guard(device, 'close other programs that use it'):
        if options.implementation != 'built_in' and not seeded:
            return _installed(name, options, device)
        extractor = _extractor(name, options, device, seeded)
        if options.matcher == 'nearest_neighbour':
            return extractor, DeviceNearestNeighbour(options.nearest_neighbour)
        parts = _PARTS[name]
        network = LightGlue(parts.shape).eval() if seeded else _trained_lightglue(parts)
        return extractor, network.use_type(dtype).to(device)


def _installed(
    name: str, options: LearnedOptions, device: torch.device
) -> tuple[Extractor, Matcher]:
    """Build what cvg's own packages have."""
    from hloc_localizer.features.learned.installed import InstalledExtractor, InstalledLightGlue

    _say_licence(name, options)
    extractor = InstalledExtractor(options.implementation, name, options, device)
    if options.matcher == 'nearest_neighbour':
        return extractor, DeviceNearestNeighbour(options.nearest_neighbour)
    return extractor, InstalledLightGlue(name, options, device)


def _extractor(name: str, options: LearnedOptions, device: torch.device, seeded: bool) -> Extractor:
    extractor: Any = _PARTS[name].extractor()
    if seeded:
        return extractor.untrained(options, device)
    path = require(_say_licence(name, options))
    return extractor.from_tensors(read_tensors(path), path, options, device)


def _say_licence(name: str, options: LearnedOptions) -> Checkpoint:
    """Return the extractor's entry; warn where its licence forbids commercial use."""
    weights = options.weights if isinstance(options, AlikedOptions) else _PARTS[name].weights
    checkpoint = find_checkpoint(weights)
    if not checkpoint.commercial_use:
        _LOG.warning("front end '%s': licence: %s", name, checkpoint.licence)
    return checkpoint


def _trained_lightglue(parts: _Parts) -> LightGlue:
    path = require(find_checkpoint(parts.lightglue))
    return load_lightglue(parts.shape, read_tensors(path), path)
