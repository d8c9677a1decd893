"""
Let torch's idle threads sleep instead of spin; to be imported before torch.

The threads of OpenMP wait for each other by spinning. On a machine whose cores are busy with other
things, as a robot's are, each wait then takes the core from whom it waits for, and a LightGlue of
0.3 s takes many seconds. OpenMP reads the environment once, when torch is loaded.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
