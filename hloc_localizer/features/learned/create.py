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
from hloc_localizer.weights.catalogue import Checkpoint, find_checkpoint
from hloc_localizer.weights.store import require
from hloc_localizer.weights.torch_file import read_tensors

_LOG = logging.getLogger(__name__)


def _xfeat(checkpoint: Checkpoint, options: Any, device: torch.device) -> Extractor:
    from hloc_localizer.features.learned.xfeat import XFeat

    path = require(checkpoint)
    return XFeat.from_tensors(read_tensors(path), path, options, device)


def _aliked(checkpoint: Checkpoint, options: Any, device: torch.device) -> Extractor:
    from hloc_localizer.features.learned.aliked import Aliked

    path = require(checkpoint)
    return Aliked.from_tensors(read_tensors(path), path, options, device)


def _disk(checkpoint: Checkpoint, options: Any, device: torch.device) -> Extractor:
    from hloc_localizer.features.learned.disk import Disk

    path = require(checkpoint)
    return Disk.from_tensors(read_tensors(path), path, options, device)


def _superpoint(checkpoint: Checkpoint, options: Any, device: torch.device) -> Extractor:
    from hloc_localizer.features.learned.superpoint import SuperPoint

    path = require(checkpoint)
    return SuperPoint.from_tensors(read_tensors(path), path, options, device)


@dataclass(frozen=True)
class _Parts:
    extractor: Callable[[Checkpoint, Any, torch.device], Extractor]
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
    parts = _PARTS[name]
    device = resolve_device(options.device)
    limit_threads(options.threads)
    checkpoint = find_checkpoint(
        options.weights if isinstance(options, AlikedOptions) else parts.weights
    )
    if not checkpoint.commercial_use:
        _LOG.warning("front end '%s': licence: %s", name, checkpoint.licence)
    with memory_guard(device, 'close other programs that use it'):
        extractor = parts.extractor(checkpoint, options, device)
        lightglue = _lightglue(parts, options, device)
    _LOG.info(
        "front end '%s' with %s on %s", name, options.matcher.replace('_', ' '),
        describe_device(device),
    )  # fmt: skip
    return LearnedFrontEnd(
        name=name, extractor=extractor, lightglue=lightglue, options=options, device=device
    )


def _lightglue(parts: _Parts, options: LearnedOptions, device: torch.device) -> LightGlue | None:
    if options.matcher != 'lightglue':
        return None
    path = require(find_checkpoint(parts.lightglue))
    network = load_lightglue(parts.shape, read_tensors(path), path)
    dtype = compute_type(device, options.precision)
    if device.type == 'cpu' and dtype == torch.float16:
        raise InputError("option 'precision': a CPU does not compute in float16")
    return network.use_type(dtype).to(device)
