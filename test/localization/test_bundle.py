"""Bundles keep a frame exactly, and those that were changed are refused with one line."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.bundle import (
    FRAME_NAME,
    IMAGE_NAME,
    Bundle,
    SearchContext,
    read_bundle,
    write_bundle,
)

CAMERA = Camera('OPENCV', 64, 48, (50.1, 50.2, 31.5, 23.5, 0.1, -0.02, 1e-3, 0.0))


def _bundle(colour: bool = True) -> Bundle:
    random = np.random.default_rng(0)
    shape = (48, 64, 3) if colour else (48, 64)
    return Bundle(
        stamp_ns=1234567890123456789,
        image=random.integers(0, 255, shape, np.uint8),
        camera=CAMERA,
        prior=np.eye(4) * 0.1,
        reason='few inliers',
        detail='few inliers: 3 matches',
        map_from_camera=None,
        map_path='maps/office',
    )


@pytest.mark.parametrize('colour', [True, False])
def test_what_is_read_is_what_was_written(tmp_path: Path, colour: bool) -> None:
    written = _bundle(colour)
    write_bundle(tmp_path / 'one', written)
    read = read_bundle(tmp_path / 'one')
    for field in dataclasses.fields(Bundle):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(written, field.name))
    assert [path.name for path in tmp_path.iterdir()] == ['one']


@pytest.mark.parametrize('covariance', [None, np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])])
def test_how_a_frame_of_a_stream_was_searched_for_is_kept(
    tmp_path: Path, covariance: np.ndarray | None
) -> None:
    context = SearchContext(covariance, quick=True, everywhere=False)
    write_bundle(tmp_path / 'one', dataclasses.replace(_bundle(), tracked=context, images=4))
    read = read_bundle(tmp_path / 'one')
    assert read.images == 4
    assert read.tracked is not None
    assert (read.tracked.quick, read.tracked.everywhere) == (True, False)
    np.testing.assert_array_equal(read.tracked.covariance, covariance)
    # One that was written before streams were kept is read, too.
    values = json.loads((tmp_path / 'one' / FRAME_NAME).read_text())
    del values['tracked'], values['images']
    (tmp_path / 'one' / FRAME_NAME).write_text(json.dumps(values))
    read = read_bundle(tmp_path / 'one')
    assert (read.tracked, read.images) == (None, 1)


def test_nothing_is_left_of_a_bundle_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='JSON'):
        write_bundle(
            tmp_path / 'one', dataclasses.replace(_bundle(), prior=np.full((4, 4), np.nan))
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('format', 2),
        ('camera', {'model': 'OPENCV', 'width': 64, 'height': 48, 'params': [1.0]}),
        ('camera', {'model': 'x', 'width': 64, 'height': 48, 'params': []}),
        ('camera', None),
        ('prior', [[1.0]]),
        ('prior', 'abc'),
        ('stamp_ns', None),
        ('map_from_camera', [[float('inf')] * 4] * 4),
        ('tracked', 'abc'),
        ('tracked', {'covariance': [[1.0]], 'quick': True, 'everywhere': False}),
        ('images', 'some'),
    ],
)
def test_values_that_cannot_be_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / 'one'
    write_bundle(path, _bundle())
    values = json.loads((path / FRAME_NAME).read_text())
    (path / FRAME_NAME).write_text(json.dumps({**values, name: value}))
    with pytest.raises(InputError, match='one'):
        read_bundle(path)


@pytest.mark.parametrize('file', [FRAME_NAME, IMAGE_NAME])
def test_damaged_files_are_refused(tmp_path: Path, file: str) -> None:
    random = np.random.default_rng(1)
    path = tmp_path / 'one'
    write_bundle(path, _bundle())
    content = (path / file).read_bytes()
    for _ in range(100):
        damaged = bytearray(content[: random.integers(1, len(content) + 1)])
        damaged[int(random.integers(len(damaged)))] ^= int(random.integers(1, 256))
        (path / file).write_bytes(bytes(damaged))
        with contextlib.suppress(InputError):  # a changed digit is still a number
            read_bundle(path)
    (path / file).unlink()
    with pytest.raises(InputError, match='is not a bundle'):
        read_bundle(path)
