"""Features in hloc's layout and point clouds: what other tools read is what was written."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from hloc_localizer.errors import MapError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.maps import hloc_files
from hloc_localizer.maps.ply import write_ply


def make_features(count: int, seed: int = 0) -> LocalFeatures:
    random = np.random.default_rng(seed)
    return LocalFeatures(
        keypoints=random.uniform(0, 1500, (count, 2)).astype(np.float32),
        descriptors=random.normal(size=(count, 128)).astype(np.float16),
        scores=random.uniform(size=count).astype(np.float32),
        scales=random.uniform(1, 5, count).astype(np.float32),
        image_size=(1536, 1024),
    )


def test_features_come_back_unchanged(tmp_path: Path) -> None:
    features = {'camera/1.jpg': make_features(30), 'camera/2.jpg': make_features(0)}
    hloc_files.write_features(tmp_path / 'features.h5', features)
    read = hloc_files.read_all_features(tmp_path / 'features.h5')
    assert list(read) == ['camera/1.jpg', 'camera/2.jpg']
    for name, expected in features.items():
        for field in ('keypoints', 'descriptors', 'scores', 'scales'):
            np.testing.assert_array_equal(getattr(read[name], field), getattr(expected, field))
        assert read[name].image_size == (1536, 1024)


def test_the_same_features_give_the_same_bytes_at_another_time(tmp_path: Path) -> None:
    for name in ('first.h5', 'second.h5'):
        hloc_files.write_features(tmp_path / name, {'camera/1.jpg': make_features(30)})
        time.sleep(1.1)  # HDF5 can store times, in seconds
    assert (tmp_path / 'first.h5').read_bytes() == (tmp_path / 'second.h5').read_bytes()


def test_the_layout_is_the_one_hloc_reads(tmp_path: Path) -> None:
    """As hloc/utils/io.py and hloc/matchers access it; its first pixel's centre is (0, 0) too."""
    features = make_features(30)
    hloc_files.write_features(tmp_path / 'features.h5', {'camera/1.jpg': features})
    with h5py.File(tmp_path / 'features.h5', 'r', libver='latest') as file:
        group = file['camera/1.jpg']
        assert group['keypoints'].dtype == np.float32
        np.testing.assert_array_equal(group['keypoints'].__array__(), features.keypoints)
        assert group['keypoints'].attrs.get('uncertainty') == 1.0
        assert group['descriptors'].shape == (128, 30)
        assert group['scores'].shape == (30,)
        assert group['image_size'].__array__().tolist() == [1536, 1024]


def test_half_float_keypoints_of_hloc_without_scales_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'features.h5', 'w', libver='latest') as file:
        group = file.create_group('db/1.jpg')
        group.create_dataset('keypoints', data=np.array([[1.5, 2.0], [300.0, 4.0]], np.float16))
        group.create_dataset('descriptors', data=np.ones((256, 2), np.float16))
        group.create_dataset('scores', data=np.array([0.5, 0.25], np.float16))
        group.create_dataset('image_size', data=np.array([640, 480]))
    features = hloc_files.read_all_features(tmp_path / 'features.h5')['db/1.jpg']
    assert features.keypoints.dtype == np.float32
    assert features.keypoints.tolist() == [[1.5, 2.0], [300.0, 4.0]]
    assert features.descriptors.shape == (2, 256)
    assert features.scales.tolist() == [1.0, 1.0]
    assert features.image_size == (640, 480)


def test_global_descriptors_come_back(tmp_path: Path) -> None:
    descriptors = {'a/1.jpg': np.arange(4, dtype=np.float32), 'b/2.jpg': np.ones(4, np.float32)}
    hloc_files.write_global_features(tmp_path / 'global.h5', descriptors)
    read = hloc_files.read_global_features(tmp_path / 'global.h5')
    assert list(read) == list(descriptors)
    np.testing.assert_array_equal(read['a/1.jpg'], descriptors['a/1.jpg'])


def test_damaged_feature_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'features.h5'
    with pytest.raises(MapError, match='no such file'):
        hloc_files.read_all_features(path)
    path.write_bytes(b'not HDF5')
    with pytest.raises(MapError, match='not a readable HDF5 file'):
        hloc_files.read_all_features(path)
    hloc_files.write_features(path, {'1.jpg': make_features(30)})
    with pytest.raises(MapError, match=r"'2.jpg/keypoints' is missing"):
        hloc_files.read_features_of(path, ['2.jpg'])
    with h5py.File(path, 'a') as file:
        del file['1.jpg/descriptors']
        file['1.jpg'].create_dataset('descriptors', data=np.ones((128, 29), np.float16))
    with pytest.raises(MapError, match=r"'1.jpg' contradict each other"):
        hloc_files.read_features_of(path, ['1.jpg'])


def test_a_point_cloud_has_the_header_and_records_of_ply(tmp_path: Path) -> None:
    points = np.array([[1.0, -2.0, 3.5], [0.25, 0.0, 9.0]], np.float32)
    colors = np.array([[255, 0, 7], [1, 2, 3]], np.uint8)
    write_ply(tmp_path / 'cloud.ply', points, colors)
    header, _, body = (tmp_path / 'cloud.ply').read_bytes().partition(b'end_header\n')
    assert header.decode().splitlines() == [
        'ply', 'format binary_little_endian 1.0', 'element vertex 2',
        'property float x', 'property float y', 'property float z',
        'property uchar red', 'property uchar green', 'property uchar blue',
    ]  # fmt: skip
    assert len(body) == 2 * 15
    assert np.frombuffer(body[15:27], '<f4').tolist() == [0.25, 0.0, 9.0]
    assert list(body[27:]) == [1, 2, 3]
