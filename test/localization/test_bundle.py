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
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.bundle import (
    FRAME_NAME,
    Bundle,
    RecordedMoment,
    SearchContext,
    image_name,
    read_bundle,
    write_bundle,
)
from hloc_localizer.localization.mounted_image import MountedImage

CAMERA = Camera('OPENCV', 64, 48, (50.1, 50.2, 31.5, 23.5, 0.1, -0.02, 1e-3, 0.0))
SIDE = Camera('PINHOLE', 32, 24, (20.1, 20.2, 15.5, 11.5))
COVARIANCE = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def _along(metres: float) -> np.ndarray:
    return transforms.transform_from(np.eye(3), [metres, 0.0, 0.0])


def _image(camera: Camera, name: str, seed: int, *, colour: bool = True) -> MountedImage:
    random = np.random.default_rng(seed)
    shape = (camera.height, camera.width, 3)[: 3 if colour else 2]
    pixels = random.integers(0, 255, shape, np.uint8)
    mounting = transforms.transform_from(
        transforms.rotation_from_rotvec(random.normal(size=3)), random.normal(size=3)
    )
    return MountedImage(pixels, camera, mounting, name)


def _moment(stamp_ns: int, *images: MountedImage) -> RecordedMoment:
    return RecordedMoment(stamp_ns, images, prior=_along(0.1))


def _bundle(colour: bool = True) -> Bundle:
    return Bundle(
        moment=_moment(1234567890123456789, _image(CAMERA, 'front', 0, colour=colour)),
        reason='few inliers',
        detail='few inliers: 3 matches',
        map_from_body=None,
        map_path='maps/office',
    )


def _assert_same(read: Any, written: Any) -> None:
    """Compare bundles, and what they are made of, to the last bit."""
    assert type(read) is type(written)
    if dataclasses.is_dataclass(written):
        for field in dataclasses.fields(written):
            _assert_same(getattr(read, field.name), getattr(written, field.name))
    elif isinstance(written, tuple):
        for one, other in zip(read, written, strict=True):
            _assert_same(one, other)
    else:
        np.testing.assert_array_equal(read, written)


@pytest.mark.parametrize('colour', [True, False])
def test_what_is_read_is_what_was_written(tmp_path: Path, colour: bool) -> None:
    written = _bundle(colour)
    write_bundle(tmp_path / 'one', written)
    _assert_same(read_bundle(tmp_path / 'one'), written)
    assert [path.name for path in tmp_path.iterdir()] == ['one']


@pytest.mark.parametrize('covariance', [None, COVARIANCE])
def test_all_cameras_and_the_moments_before_are_kept(
    tmp_path: Path, covariance: np.ndarray | None
) -> None:
    cameras = [(CAMERA, 'front'), (SIDE, 'side')]
    moments = [
        dataclasses.replace(
            _moment(number, *(_image(camera, name, number) for camera, name in cameras)),
            search=SearchContext(covariance, quick=True, everywhere=False),
            odom_from_body=_along(number),
        )
        for number in range(3)
    ]
    written = dataclasses.replace(
        _bundle(),
        moment=moments[-1],
        earlier=tuple(moments[:-1]),
        images=6,
        map_from_body=np.eye(4),
    )
    write_bundle(tmp_path / 'one', written)
    _assert_same(read_bundle(tmp_path / 'one'), written)
    images = [image_name(moment, camera) for moment in range(3) for camera in range(2)]
    assert sorted(path.name for path in (tmp_path / 'one').iterdir()) == [FRAME_NAME, *images]
    lacking = dataclasses.replace(written, earlier=(), whole=False)
    write_bundle(tmp_path / 'two', lacking)
    assert not read_bundle(tmp_path / 'two').whole


@pytest.mark.parametrize('images', [None, 1, 3])
def test_one_that_was_written_when_there_was_one_camera_is_read(
    tmp_path: Path, images: int | None
) -> None:
    written = _bundle()
    (image,) = written.moment.images
    path = tmp_path / 'one'
    write_bundle(path, written)
    (path / image_name(0, 0)).rename(path / 'image.png')
    values: dict[str, Any] = {
        'format': 1,
        'stamp_ns': 5,
        'camera': {
            'model': 'OPENCV', 'width': 64, 'height': 48, 'params': list(CAMERA.params),
        },
        'prior': _along(0.1).tolist(),
        'reason': 'few inliers',
        'detail': 'few inliers: 3 matches',
        'map_from_camera': np.eye(4).tolist(),
        'map': 'maps/office',
    }  # fmt: skip
    context = SearchContext(COVARIANCE, quick=True, everywhere=False)
    if images is not None:
        searched = {'covariance': COVARIANCE.tolist(), 'quick': True, 'everywhere': False}
        values.update(images=images, tracked=searched)
    (path / FRAME_NAME).write_text(json.dumps(values))
    moment = RecordedMoment(
        5,
        (MountedImage(image.image, CAMERA),),
        prior=_along(0.1),
        search=None if images is None else context,
    )
    expected = Bundle(
        moment, 'few inliers', 'few inliers: 3 matches', np.eye(4), 'maps/office',
        images=images or 1, whole=images != 3,
    )  # fmt: skip
    _assert_same(read_bundle(path), expected)


def test_nothing_is_left_of_a_bundle_that_cannot_be_written(tmp_path: Path) -> None:
    bundle = dataclasses.replace(_bundle(), map_from_body=np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match='JSON'):
        write_bundle(tmp_path / 'one', bundle)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('place', 'value'),
    [
        (('format',), 3),
        (('map_from_body',), [[float('inf')] * 4] * 4),
        (('map_from_body',), np.diag([1.0, 1.0, -1.0, 1.0]).tolist()),
        (('images',), 'some'),
        (('images',), -3),
        (('images',), 0),
        (('images',), 2.5),
        (('moments',), []),
        (('moments',), {}),
        (('moments',), [None]),
        (('moments',), [{}] * 101),
        (('moments', 0, 'stamp_ns'), None),
        (('moments', 0, 'prior'), [[1.0]]),
        (('moments', 0, 'prior'), 'abc'),
        (('moments', 0, 'prior'), np.diag([2.0, 2.0, 2.0, 1.0]).tolist()),
        (('moments', 0, 'odom_from_body'), [[1.0]]),
        (('moments', 0, 'odom_from_body'), np.diag([1.0, 1.0, 1.0, 0.0]).tolist()),
        (('moments', 0, 'search'), 'abc'),
        (('moments', 0, 'search'), {'covariance': [[1.0]], 'quick': True, 'everywhere': False}),
        (('moments', 0, 'images'), []),
        (('moments', 0, 'images', 0), 1),
        (('moments', 0, 'images', 0, 'camera'), None),
        (('moments', 0, 'images', 0, 'camera', 'params'), [1.0]),
        (('moments', 0, 'images', 0, 'camera', 'model'), 'x'),
        (('moments', 0, 'images', 0, 'body_from_camera'), None),
        (('moments', 0, 'images', 0, 'body_from_camera'), np.zeros((4, 4)).tolist()),
    ],
)
def test_values_that_cannot_be_are_refused(
    tmp_path: Path, place: tuple[str | int, ...], value: Any
) -> None:
    path = tmp_path / 'one'
    write_bundle(path, _bundle())
    values = json.loads((path / FRAME_NAME).read_text())
    *way, last = place
    within = values
    for key in way:
        within = within[key]
    within[last] = value
    (path / FRAME_NAME).write_text(json.dumps(values))
    with pytest.raises(InputError, match='one'):
        read_bundle(path)


def test_images_that_are_too_large_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = _moment(1, _image(CAMERA, 'front', 0), _image(CAMERA, 'side', 1))
    write_bundle(tmp_path / 'one', dataclasses.replace(_bundle(), moment=moment))
    monkeypatch.setattr('hloc_localizer.localization.bundle._MOST_PIXELS', 3 * 48 * 64 + 1)
    with pytest.raises(InputError, match='too large'):
        read_bundle(tmp_path / 'one')


@pytest.mark.parametrize('file', [FRAME_NAME, image_name(0, 0)])
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
    with pytest.raises(InputError, match=rf'is not a bundle \(no such file: {file}\)'):
        read_bundle(path)
