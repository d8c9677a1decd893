"""Folders of images as sources: order, poses by name and by stamp, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.sources import SourceOptions, open_source

CALIBRATION = (
    'image_width: 64\nimage_height: 48\ncamera_matrix: {data: [50, 0, 32, 0, 50, 24, 0, 0, 1]}\n'
)


def write_folder(folder: Path, names: list[str]) -> Path:
    """Write images whose grey tells their number, and their calibration."""
    for number, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((48, 64, 3), 10 * number, np.uint8))
    (folder / 'camera.yaml').write_text(CALIBRATION)
    return folder


def message_of(path: Path, **values: Any) -> str:
    with pytest.raises(InputError) as caught:
        list(open_source(path, SourceOptions(**values)).frames())
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_the_facade_with_poses_by_name(shared_data: Path) -> None:
    facade = shared_data / 'data/facade'
    source = open_source(
        facade / 'images', SourceOptions(poses_file=str(facade / 'camera_poses.txt'))
    )
    frames = list(source.frames())
    assert [frame.name for frame in frames] == [f'{number:04d}.jpg' for number in range(25)]
    assert source.cameras['camera'].focal_px == pytest.approx(1380.91)
    assert source.pose_problem == ''
    assert all(frame.image.shape == (1024, 1536, 3) for frame in frames)
    np.testing.assert_allclose(frames[1].map_from_camera[:3, 3], [4.39237, -3.79971, 9.96517])
    rotation = frames[1].map_from_camera[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)


def test_images_without_poses_say_so(shared_data: Path) -> None:
    source = open_source(shared_data / 'data/facade/images')
    assert 'images have no poses; give --set source.poses_file=FILE' in source.pose_problem
    assert next(source.frames()).map_from_camera is None


def test_names_that_are_stamps_give_the_stamps(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ['1700000001.5.png', '1700000000.25.png'])
    frames = list(open_source(folder).frames())
    assert [frame.stamp_ns for frame in frames] == [
        1_700_000_000_250_000_000,
        1_700_000_001_500_000_000,
    ]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10, 0]


def test_poses_by_stamp(tmp_path: Path) -> None:
    stamps = [1_700_000_000_000_000_000 + number * 100_000_000 for number in range(5)]
    folder = write_folder(tmp_path, [f'{stamp}.png' for stamp in stamps])
    poses = tmp_path / 'poses.tum'
    poses.write_text('1700000000.0 0 0 0 0 0 0 1\n1700000000.2 2 0 0 0 0 0 1\n')
    source = open_source(folder, SourceOptions(poses_file=str(poses)))
    poses_found = [frame.map_from_camera for frame in source.frames()]
    assert [None if pose is None else pose[0, 3] for pose in poses_found] == [0, 1, 2, None, None]
    assert source.notes == ('2 images without a pose (first: 1700000000300000000.png)',)


def test_folders_below_are_read_too(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ['b/1.png', 'a/2.png', 'a/10.png'])
    frames = list(open_source(folder).frames())
    assert [frame.name for frame in frames] == ['a/10.png', 'a/2.png', 'b/1.png']
    assert [frame.stamp_ns for frame in frames] == [0, 1_000_000_000, 2_000_000_000]


def test_no_calibration_names_the_remedy(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / 'photos' / 'images', ['1.png'])
    (folder / 'camera.yaml').unlink()
    source = open_source(folder)
    assert source.intrinsics == {'camera': 'estimated'}
    assert 'no calibration; put camera.yaml' in source.calibration_problem
    (folder.parent / 'camera.yaml').write_text(CALIBRATION)
    assert len(list(open_source(folder).frames())) == 1


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ['1.png', '2.png'])
    (folder / '2.png').write_bytes(b'')
    assert '2.png: image: ' in message_of(folder)


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ['1.png'])
    cv2.imwrite(str(folder / '2.png'), np.zeros((48, 32, 3), np.uint8))
    assert '2.png: images are 32x48 but the calibration is for 64x48' in message_of(folder)


def test_poses_of_other_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ['1.png'])
    poses = tmp_path / 'poses.txt'
    poses.write_text('other.png 0 0 0 0 0 0 1\n')
    message = message_of(folder, poses_file=str(poses))
    assert 'lines begin neither with the name of an image of' in message
    assert "nor with a stamp (but with 'other.png')" in message


def test_poses_that_tf_should_give(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ['1.png'])
    assert 'images have poses only from a file' in message_of(folder, poses='tf')
