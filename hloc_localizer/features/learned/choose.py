"""``auto``: the best front end whose weights and device are on this machine."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from typing import Any

from hloc_localizer.weights.catalogue import find_checkpoint
from hloc_localizer.weights.store import Condition, condition

_LOG = logging.getLogger(__name__)

_NEEDED = {
    'aliked': ('aliked-n16', 'aliked-lightglue'),
    'disk': ('disk', 'disk-lightglue'),
    'xfeat': ('xfeat', 'xfeat-lighterglue'),
}
"""Front ends that may be chosen and their weights; SuperPoint's licence must be chosen by hand."""

_ON_GPU = ('aliked', 'disk', 'xfeat')
_ON_CPU = ('xfeat',)
"""Best first. On a CPU the nine wide layers of LightGlue take seconds a frame."""


def choose_front_end(values: Mapping[str, Any]) -> str:
    """
    Return the name of the best front end that can run here, and log why.

    :param values: the options that it will get; ``device`` counts.
    """
    name, reason = _choice(str(values.get('device', 'auto')))
    _LOG.info("front end auto: '%s', because %s", name, reason)
    return name


def _choice(device: str) -> tuple[str, str]:
    for package in ('torch', 'kornia'):
        if importlib.util.find_spec(package) is None:
            return 'sift', f'{package} is not installed'
    from hloc_localizer.features.learned.device import resolve_device

    found = resolve_device(device)
    absent: list[str] = []
    for name in _ON_GPU if found.type == 'cuda' else _ON_CPU:
        lacking = [weights for weights in _NEEDED[name] if not _usable(weights)]
        if not lacking:
            without = f'; for others lack {", ".join(absent)}' if absent else ''
            return name, f'its weights are there and the device is {found}{without}'
        absent += lacking
    return 'sift', f'the device is {found} and the weights {", ".join(absent)} are not there'


def _usable(name: str) -> bool:
    return condition(find_checkpoint(name)) in (Condition.VERIFIED, Condition.UNVERIFIED)
