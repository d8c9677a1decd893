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
from hloc_localizer.features.learned.front_end import LearnedFrontEnd
from hloc_localizer.features.learned.lightglue import LightGlue, LightGlueShape, load_lightglue
from hloc_localizer.features.learned.options import AlikedOptions, LearnedOptions
from hloc_localizer.weights.catalogue import find_checkpoint
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
    extractor, lightglue = build_networks(name, options, device)
    _LOG.info(
        "front end '%s' with %s on %s",
        name,
        options.matcher.replace('_', ' '),
        describe_device(device),
    )
    return LearnedFrontEnd(
        name=name, extractor=extractor, lightglue=lightglue, options=options, device=device
    )


def build_networks(
    name: str, options: LearnedOptions, device: torch.device, *, seeded: bool = False
) -> tuple[Extractor, LightGlue | None]:
    """
    Build the extractor of that name, and LightGlue where the options want it.

    :param seeded: take random weights, which need no files and serve to measure time.
    :raises InputError: for weights that are missing or wrong.
    """
    parts = _PARTS[name]
    dtype = compute_type(device, options.precision)
    if device.type == 'cpu' and dtype == torch.float16:
        raise InputError("option 'precision': a CPU does not compute in float16")
    with memory_guard(device, 'close other programs that use it'):
        extractor = _extractor(name, options, device, seeded)
        lightglue = None
        if options.matcher == 'lightglue':
            network = LightGlue(parts.shape).eval() if seeded else _trained_lightglue(parts)
            lightglue = network.use_type(dtype).to(device)
    return extractor, lightglue


def _extractor(name: str, options: LearnedOptions, device: torch.device, seeded: bool) -> Extractor:
    extractor: Any = _PARTS[name].extractor()
    if seeded:
        return extractor.untrained(options, device)
    weights = options.weights if isinstance(options, AlikedOptions) else _PARTS[name].weights
    checkpoint = find_checkpoint(weights)
    if not checkpoint.commercial_use:
        _LOG.warning("front end '%s': licence: %s", name, checkpoint.licence)
    path = require(checkpoint)
    return extractor.from_tensors(read_tensors(path), path, options, device)


def _trained_lightglue(parts: _Parts) -> LightGlue:
    path = require(find_checkpoint(parts.lightglue))
    return load_lightglue(parts.shape, read_tensors(path), path)
