"""Maps that follow each other take no more memory than the first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

_RESIDENT = """
import os, sys
from hloc_localizer.freed_memory import keep_freed_memory
from hloc_localizer.ros.map_loading import MapLoading
from hloc_localizer.ros.options import LocalizerNodeOptions
keep_freed_memory()
loading, options = MapLoading(), LocalizerNodeOptions(map=sys.argv[1])
for _ in range(12):
    loading.begin(options, ()).result()
    loading.take(options, ())
    loading.forget()
    pages = int(open('/proc/self/statm').read().split()[1])
    print(pages * os.sysconf('SC_PAGE_SIZE') // 1_000_000)
"""


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='Linux tells it')
def test_maps_that_are_loaded_one_after_the_other_leave_no_memory_behind(lounge_map: Path) -> None:
    """The allocator keeps what is freed; for each new thread it would do so elsewhere."""
    command = [sys.executable, '-c', _RESIDENT, str(lounge_map)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    resident = [int(line) for line in ran.stdout.split()]
    print(f'resident after each map: {resident} MB')
    assert resident[-1] < max(resident[:3]) + 50
