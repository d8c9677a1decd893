"""
What the stages of a build usually take, for telling how long it will still take.

Seconds on two cores for 216 images of 540 x 360 pixels; only their ratios are used.
"""

from __future__ import annotations

from collections.abc import Container

from hloc_localizer.forecast import Plan

_POSED = (
    ('extract', 8.1), ('describe', 2.0), ('match', 18.0), ('reconstruct', 16.0),
    ('compile', 1.3), ('report', 3.0), ('write', 0.6),
)  # fmt: skip
_UNPOSED = (
    ('extract', 8.1), ('describe', 2.0), ('match', 23.4), ('verify', 11.5), ('place', 43.2),
    ('match', 2.0), ('reconstruct', 13.8), ('compile', 1.2), ('report', 1.7), ('write', 0.6),
)  # fmt: skip
_JOINING = (
    ('extract', 3.0), ('localize', 4.5), ('match', 19.9), ('reconstruct', 14.0),
    ('compile', 1.7), ('report', 4.1), ('write', 0.5),
)  # fmt: skip
_BY_NETWORK = {'match': 5.0, 'report': 4.0, 'localize': 4.0}
"""How many times as long these take where a network matches, on a CPU."""
_RESULT_OF = {'verify': 'place'}
"""Stages whose result is kept with that of another one."""


def build_plan(*, posed: bool, by_network: bool, done: Container[str]) -> Plan:
    """
    Return the stages of a build that are to come.

    :param done: stages whose results are taken over.
    """
    return _left(_POSED if posed else _UNPOSED, by_network, done)


def joining_plan(*, by_network: bool, done: Container[str]) -> Plan:
    """Return the stages of adding images to a map that are to come."""
    return _left(_JOINING, by_network, done)


def _left(plan: Plan, by_network: bool, done: Container[str]) -> Plan:
    left, seen = [], set()
    for name, seconds in plan:
        # What is matched the second time is matched while places are found.
        kept_with = 'place' if name in seen else _RESULT_OF.get(name, name)
        seen.add(name)
        if kept_with not in done:
            left.append((name, seconds * (_BY_NETWORK.get(name, 1.0) if by_network else 1.0)))
    return left
