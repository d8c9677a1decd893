"""Freed memory stays with the process, unless the user has tuned the allocator."""

import os
import subprocess
import sys

import pytest

# Blocks as SIFT takes and frees them; counts how often the system had to give a page.
_FAULTS = """
import resource, sys
import numpy as np
from hloc_localizer.freed_memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == 'keep' else None
def work():
    return len([np.ones(3 << 20, np.uint8) for _ in range(11)])
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _run(mode: str, **environment: str) -> tuple[str, int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith('MALLOC_')}
    clean.pop('GLIBC_TUNABLES', None)
    out = subprocess.run(
        [sys.executable, '-c', _FAULTS, mode],
        env=clean | environment, capture_output=True, text=True, timeout=60, check=True,
    ).stdout.split()  # fmt: skip
    return out[0], int(out[1])


@pytest.mark.skipif(not hasattr(os, 'confstr') or 'glibc' not in (os.confstr('CS_GNU_LIBC_VERSION')
                    or ''), reason='the allocator is not that of glibc')  # fmt: skip
def test_blocks_that_come_again_need_no_new_pages() -> None:
    """What is freed is used again; by default the system gives thousands of pages anew."""
    kept, faults = _run('keep')
    _, faults_by_default = _run('default')
    assert kept == 'True'
    assert faults_by_default > 1000
    assert faults < 100


@pytest.mark.parametrize(
    'tuned',
    [{'MALLOC_TRIM_THRESHOLD_': '131072'}, {'GLIBC_TUNABLES': 'glibc.malloc.trim_threshold=65536'}],
)
def test_the_users_own_settings_stay(tuned: dict[str, str]) -> None:
    """Who has tuned the allocator by the environment is not overruled."""
    kept, _ = _run('keep', **tuned)
    assert kept == 'False'
