"""The environment of ROS processes that are to hear each other and nobody else."""

from __future__ import annotations

import fcntl
import importlib.metadata
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hloc_localizer.errors import HlocLocalizerError

# Above 101 the ports of DDS run into those that Linux hands to ordinary connections.
_DOMAINS = range(1, 102)

# Each time another: what is left of a domain in this process, until it is collected, still counts
# there, and on one host Fast DDS finds nobody beyond some 32 participants of a domain.
_TURN = itertools.count()
_APART = 37
"""Domains between those at which two processes begin whose numbers follow each other."""


@contextmanager
def isolated() -> Iterator[dict[str, str]]:
    """
    Yield a copy of this process's environment with a ROS domain of its own, on this host only.

    The domain is held by a lock file as long as the context, so that a second run beside this
    one gets another.

    :raises HlocLocalizerError: when all domains are taken.
    """
    with _reserved_domain() as domain:
        variables = dict(os.environ)
        variables['ROS_DOMAIN_ID'] = str(domain)
        variables.update(_this_host_only(variables.get('ROS_DISTRO')))
        if has_ros_wheels():
            variables['RMW_IMPLEMENTATION'] = 'rmw_fastrtps_cpp'  # the only one among the wheels
        yield variables


def has_ros_wheels() -> bool:
    """Say whether rclpy is the one of the wheels, not of a ROS that is sourced."""
    try:
        importlib.metadata.version('ros-rclpy')
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _this_host_only(distribution: str | None) -> dict[str, str]:
    """Return how a distribution is kept on this host; Humble knows the old variable only."""
    if distribution == 'humble':
        return {'ROS_LOCALHOST_ONLY': '1'}
    return {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}


@contextmanager
def _reserved_domain() -> Iterator[int]:
    folder = Path(tempfile.gettempdir()) / f'hloc_localizer_domains_{os.getuid()}'
    folder.mkdir(mode=0o700, exist_ok=True)
    begin = os.getuid() + _APART * os.getpid() + next(_TURN)
    for offset in range(len(_DOMAINS)):
        domain = _DOMAINS[(begin + offset) % len(_DOMAINS)]
        with (folder / str(domain)).open('w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise HlocLocalizerError(f'all {len(_DOMAINS)} ROS domains are taken; end some tests or demos')
