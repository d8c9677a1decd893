"""Depth images of a bag: every encoding, registered or not, found or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bags import CAMERA, SECOND, START, write_images, write_transforms

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import Frame, SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter
from hloc_localizer.sources.depth_registration import Registration

DEPTH = Camera('PINHOLE', 32, 24, (30.0, 30.0, 15.5, 11.5))
STAMP = START + SECOND // 100


def plane_m(width: int = 64, height: int = 48) -> np.ndarray:
    """Return a depth image of 1 m on the left and 2 m on the right, unknown in one corner."""
    depth = np.full((height, width), 1.0, np.float32)
    depth[:, width // 2 :] = 2.0
    depth[0, 0] = np.nan
    return depth


def write_depth(
    bag: BagWriter,
    depth_m: np.ndarray,
    *,
    encoding: str = '16UC1',
    topic: str = '/camera/depth/image',
    frame: str = 'camera',
    stamp: int = STAMP,
) -> None:
    known = np.nan_to_num(depth_m)
    if encoding == '32FC1':
        data = known.astype('<f4')
    elif encoding == '16UC1 big':
        data = (known * 1000).astype('>u2')
    else:
        data = (known * 1000).astype('<u2')
    message = bag.typestore.types['sensor_msgs/msg/Image'](
        header=bag.header(stamp, frame),
        height=data.shape[0],
        width=data.shape[1],
        encoding=encoding.partition(' ')[0],
        is_bigendian=int('big' in encoding),
        step=data[0].nbytes,
        data=data.reshape(-1).view(np.uint8),
    )
    bag.write(topic, 'sensor_msgs/msg/Image', stamp, message)


def write_compressed_depth(bag: BagWriter, depth_m: np.ndarray) -> None:
    _, png = cv2.imencode('.png', (np.nan_to_num(depth_m) * 1000).astype(np.uint16))
    message = bag.typestore.types['sensor_msgs/msg/CompressedImage'](
        header=bag.header(STAMP, 'camera'),
        format='16UC1; compressedDepth png',
        data=np.concatenate([np.zeros(12, np.uint8), png.reshape(-1)]),
    )
    topic = '/camera/depth/image/compressedDepth'
    bag.write(topic, 'sensor_msgs/msg/CompressedImage', STAMP, message)


def first_frame(path: Path, **values: Any) -> Frame:
    return next(iter(open_source(path, SourceOptions(**values)).frames()))


def notes_of(path: Path, **values: Any) -> str:
    source = open_source(path, SourceOptions(**values))
    list(source.frames())
    return '; '.join(source.notes)


@pytest.mark.parametrize('encoding', ['16UC1', '16UC1 big', '32FC1', 'compressedDepth'])
def test_depth_is_found_where_poses_are_unknown(tmp_path: Path, encoding: str) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag, mapped=False)
        write_images(bag)
        if encoding == 'compressedDepth':
            write_compressed_depth(bag, plane_m())
        else:
            write_depth(bag, plane_m(), encoding=encoding)
    frames = list(open_source(tmp_path / 'bag').frames())
    np.testing.assert_allclose(frames[0].depth_m, plane_m(), atol=1e-3)
    assert all(frame.depth_m is None for frame in frames[1:])  # 0.2 s and more from it
    assert first_frame(tmp_path / 'bag', depth_topic='none').depth_m is None


def test_depth_is_found_where_poses_are_known_unless_it_is_not_wanted(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_transforms(bag)
        write_images(bag)
        write_depth(bag, plane_m())
    assert first_frame(tmp_path / 'bag').depth_m is not None
    assert first_frame(tmp_path / 'bag', depth_topic='none').depth_m is None


@pytest.mark.parametrize(('milliseconds', 'found'), [(15, True), (30, False)])
def test_depth_of_another_exposure(tmp_path: Path, milliseconds: int, found: bool) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_images(bag)
        write_depth(bag, plane_m(), stamp=STAMP + milliseconds * 1_000_000)
    assert (first_frame(tmp_path / 'bag').depth_m is not None) == found


def test_smaller_registered_depth_is_made_larger(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_images(bag)
        write_depth(bag, plane_m(32, 24))
    depth = first_frame(tmp_path / 'bag').depth_m
    assert depth.shape == (48, 64)
    assert (np.nanmin(depth), np.nanmax(depth)) == (1.0, 2.0)  # nothing between


def test_depth_of_another_shape_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_images(bag)
        write_depth(bag, plane_m(32, 32))
    line = "is 32x32, images of '/camera/image_raw/compressed' are 64x48, and there is no"
    assert f"depth is not read: {tmp_path / 'bag'}: depth of '/camera/depth/image' {line}" in (
        notes_of(tmp_path / 'bag')
    )
    with pytest.raises(InputError, match='is 32x32, images of'):
        open_source(tmp_path / 'bag', SourceOptions(depth_topic='/camera/depth/image'))


def test_several_depth_topics_are_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        write_images(bag)
        for side in ('left', 'right'):
            write_depth(bag, plane_m(), topic=f'/{side}/depth', frame=side)
    assert 'several depth topics: /left/depth, /right/depth; choose one with' in (
        notes_of(tmp_path / 'bag')
    )


def write_beside(path: Path, *, static: bool = True) -> Path:
    """Write depth of a camera 0.1 m left of the colour camera, with its own calibration."""
    with BagWriter(path) as bag:
        write_images(bag)
        if static:
            beside = transforms.transform_from(np.eye(3), [-0.1, 0.0, 0.0])
            bag.write_tf(START, 'camera', 'depth', beside, static=True)
        bag.write_camera_info('/camera/depth/camera_info', STAMP, 'depth', DEPTH)
        write_depth(bag, np.full((24, 32), 2.0, np.float32), frame='depth')
    return path


def test_depth_of_a_camera_beside_is_registered(tmp_path: Path) -> None:
    depth = first_frame(write_beside(tmp_path / 'bag')).depth_m
    assert depth.shape == (48, 64)
    assert np.nanmin(depth) == np.nanmax(depth) == 2.0
    # Where the corners of the depth image appear: by hand, from both calibrations.
    corner = CAMERA.project(
        np.array([[(0.0 - 15.5) / 30.0 * 2.0 - 0.1, (0.0 - 11.5) / 30.0 * 2.0, 2.0]])
    )[0]
    rows, columns = np.nonzero(np.isfinite(depth))
    assert (columns.min(), rows.min()) == pytest.approx(corner, abs=1.0)
    assert 32 * 24 * 0.9 < len(rows) <= 32 * 24


def test_depth_of_a_camera_that_tf_does_not_know_is_not_used(tmp_path: Path) -> None:
    notes = notes_of(write_beside(tmp_path / 'bag', static=False))
    assert "cannot be brought onto the images of '/camera/image_raw/compressed': TF has no" in notes
    assert 'record /tf_static or registered depth' in notes


def test_the_nearer_of_two_surfaces_counts() -> None:
    camera = Camera('PINHOLE', 9, 9, (8.0, 8.0, 4.0, 4.0))
    aside = transforms.transform_from(np.eye(3), [0.5, 0.0, 0.0])
    registration = Registration.between(camera, camera, aside)
    depth = np.full((9, 9), 4.0, np.float32)  # moves one pixel to the right
    depth[4, 2] = 2.0  # moves two
    result = registration(depth)
    assert result[4, 4] == 2.0
    assert np.isnan(result[4, 3])
    assert result[4, 5] == 4.0
    assert np.isnan(result[:, 0]).all()
    with pytest.raises(InputError, match='depth image is 4x4, the first one was 9x9'):
        registration(np.ones((4, 4), np.float32))


def test_the_lounge_has_depth_without_being_told(shared_data: Path) -> None:
    options = SourceOptions(poses='none', duration_s=1.0)
    frames = list(open_source(shared_data / 'data/lounge/map', options).frames())
    assert len(frames) == 5
    for frame in frames:
        assert frame.depth_m.shape == (360, 540)
        assert 0.3 < np.nanmedian(frame.depth_m) < 10.0
