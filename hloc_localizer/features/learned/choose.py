"""``auto``: the best front end whose weights and device are on this machine."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from typing import Any

from hloc_localizer.weights.catalogue import find_checkpoint
from hloc_localizer.weights.store import Condition, condition

_LOG = logging.getLogger(__name__)

_MATCHERS = {
    'aliked': 'aliked-lightglue',
    'disk': 'disk-lightglue',
    'xfeat': 'xfeat-lighterglue',
}
"""
Front ends that may be chosen, best first, and the weights of their LightGlue.

SuperPoint's licence must be chosen by hand.
"""

_QUICK_ON_CPU = ('xfeat',)
"""On a CPU the other extractors take most of a second a frame, and their LightGlues several."""


def choose_front_end(values: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """
    Choose the best front end that can run here, and log why.

    :param values: the options that each front end would get, by its name; those not named keep
        their defaults. Their ``device``, ``matcher`` and ``weights`` count.
    :return: its name and the reason.
    """
    name, reason = _choice(values)
    _LOG.info("front end auto: '%s', because %s", name, reason)
    return name, reason


def _choice(values: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    for package in ('torch', 'kornia'):
        if importlib.util.find_spec(package) is None:
            return 'sift', f'{package} is not installed'
    against: list[str] = []
    for name in _MATCHERS:
        device, objection = _objection(name, values.get(name, {}))
        if not objection:
            better = f'; {"; ".join(against)}' if against else ''
            return name, f'its weights are there and the device is {device}{better}'
        against.append(f'{name} {objection}')
    return 'sift', '; '.join(against)


def _objection(name: str, values: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the device of a front end, and what speaks against it; empty when nothing does."""
    from hloc_localizer.features.learned.device import resolve_device

    device = resolve_device(str(values.get('device', 'auto')))
    learned_matcher = values.get('matcher', 'lightglue') == 'lightglue'
    if device.type == 'cpu' and name not in _QUICK_ON_CPU:
        return device, f'is too slow on {device}'
    needed = [str(values.get('weights', 'aliked-n16')) if name == 'aliked' else name]
    needed += [_MATCHERS[name]] if learned_matcher else []
    lacking = [weights for weights in needed if not _usable(weights)]
    return device, f'lacks the weights {" and ".join(lacking)}' if lacking else ''


def _usable(name: str) -> bool:
    return condition(find_checkpoint(name)) in (Condition.VERIFIED, Condition.UNVERIFIED)
