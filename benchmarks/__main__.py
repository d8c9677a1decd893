"""``python -m benchmarks``: everything that runs on any machine with the test data."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parent))
    runpy.run_path(str(Path(__file__).with_name('lounge.py')), run_name='__main__')
