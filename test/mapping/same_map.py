"""Whether two maps are the same: byte for byte where the libraries allow it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from hloc_localizer.maps import Map

EXACT_FILES = ('features.h5', 'global-features.h5')
TOLERANCE = 1e-6
"""
Metres, radians, pixels. COLMAP's solver (Ceres) orders what it adds up by where it lies in memory,
so that poses differ from run to run by rounding, some 1e-15 m; 1 mm is what was promised.
"""
_ROUNDED = ('map_from_camera', 'points', 'point_covariance')


def assert_same_map(first: Path, second: Path) -> None:
    """Compare every array and every file that a localizer or hloc reads."""
    for name in EXACT_FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    one, other = Map.load(first), Map.load(second)
    assert set(one.manifest.files) == set(other.manifest.files) >= {'report/index.html'}
    assert one.manifest.front_end == other.manifest.front_end
    for name, camera in one.manifest.cameras.items():
        np.testing.assert_allclose(camera.params, other.manifest.cameras[name].params, rtol=1e-6)
    for field in dataclasses.fields(one.runtime):
        mine, others = getattr(one.runtime, field.name), getattr(other.runtime, field.name)
        if field.name in _ROUNDED:
            np.testing.assert_allclose(mine, others, rtol=0.0, atol=TOLERANCE, err_msg=field.name)
        elif isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, others, err_msg=field.name)
    assert one.runtime.image_names == other.runtime.image_names
