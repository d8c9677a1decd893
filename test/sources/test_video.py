"""Videos as sources: stamps, thinning, calibration, poses, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from hloc_localizer.errors import InputError
from hloc_localizer.sources import SourceOptions, open_source


@pytest.fixture
def calibration(tmp_path: Path) -> str:
    file = tmp_path / 'calibration.yaml'
    values: dict[str, Any] = {
        'image_width': 540,
        'image_height': 360,
        'camera_matrix': {'data': [495.6, 0, 269.5, 0, 495.5, 169.2, 0, 0, 1]},
        'distortion_model': 'plumb_bob',
        'distortion_coefficients': {'data': [0.0] * 5},
    }
    file.write_text(yaml.safe_dump(values))
    return str(file)


@pytest.fixture
def walk(shared_data: Path) -> Path:
    return shared_data / 'data/lounge/walk.mp4'


def test_every_image_of_the_walk(walk: Path, calibration: str) -> None:
    source = open_source(walk, SourceOptions(camera_info_file=calibration))
    stamps = [frame.stamp_ns for frame in source.frames()]
    assert len(stamps) == len(source) == 290
    assert stamps[0] == 0
    steps = np.diff(stamps)
    assert (steps > 0).all()
    assert steps.max() - steps.min() <= 2_000_000


def test_the_video_shows_what_the_bag_shows(
    walk: Path, shared_data: Path, calibration: str
) -> None:
    source = open_source(walk, SourceOptions(camera_info_file=calibration))
    frame = next(source.frames())
    assert frame.image.shape == (360, 540, 3)
    recorded = next(open_source(shared_data / 'data/lounge/map').frames()).image
    assert np.abs(frame.image.astype(int) - recorded).mean() < 8  # red and blue in their places


@pytest.mark.parametrize('fps', [1.0, 2.0, 3.0])
def test_thinning_keeps_the_rate(walk: Path, calibration: str, fps: float) -> None:
    source = open_source(
        walk, SourceOptions(camera_info_file=calibration, fps=fps, duration_s=20.0)
    )
    stamps = np.array([frame.stamp_ns for frame in source.frames()]) / 1e9
    assert abs(len(stamps) - 20.0 * fps) <= 1
    # Never further from the even beat than half an image of the video (5 Hz).
    assert np.abs(stamps - np.arange(len(stamps)) / fps).max() <= 0.11


def test_part_of_a_video(walk: Path, calibration: str) -> None:
    options = SourceOptions(camera_info_file=calibration, start_s=10.0, duration_s=2.0)
    stamps = [frame.stamp_ns / 1e9 for frame in open_source(walk, options).frames()]
    assert len(stamps) == 10
    assert stamps[0] == pytest.approx(10.0, abs=0.1)


def test_poses_of_a_tum_file(walk: Path, calibration: str, tmp_path: Path) -> None:
    file = tmp_path / 'poses.tum'
    file.write_text('0 0 0 0 0 0 0 1\n10 10 0 0 0 0 0 1\n')
    options = SourceOptions(
        camera_info_file=calibration, poses_file=str(file), max_pose_gap_s=20.0, duration_s=5.0
    )
    source = open_source(walk, options)
    assert source.pose_problem == ''
    for frame in source.frames():
        assert frame.map_from_camera is not None
        assert frame.map_from_camera[0, 3] == pytest.approx(frame.stamp_ns / 1e9)


def test_a_video_without_calibration_names_the_remedy(walk: Path) -> None:
    source = open_source(walk, SourceOptions(field_of_view_deg=60.0))
    assert source.intrinsics == {'camera': 'estimated'}
    camera = source.cameras['camera']
    assert camera.image_size == (540, 360)
    assert camera.focal_px == pytest.approx(270.0 / np.tan(np.radians(30.0)))
    assert '--set source.camera_info_file=FILE' in source.calibration_problem


def test_a_video_without_poses_says_so(walk: Path, calibration: str) -> None:
    source = open_source(walk, SourceOptions(camera_info_file=calibration))
    assert 'a video has no poses' in source.pose_problem
    with pytest.raises(InputError, match='a video has poses only from a file'):
        open_source(walk, SourceOptions(camera_info_file=calibration, poses='tf'))


def test_calibration_of_another_size(walk: Path, shared_data: Path) -> None:
    file = str(shared_data / 'data/facade/camera.yaml')
    with pytest.raises(InputError, match='540x360 but the calibration is for 1536x1024'):
        open_source(walk, SourceOptions(camera_info_file=file))


@pytest.mark.parametrize('content', [b'', b'not a video at all' * 100])
def test_a_file_that_is_no_video(tmp_path: Path, calibration: str, content: bytes) -> None:
    file = tmp_path / 'broken.mp4'
    file.write_bytes(content)
    with pytest.raises(InputError, match=r'broken\.mp4: not a video, damaged'):
        open_source(file, SourceOptions(camera_info_file=calibration))


def test_a_truncated_video(walk: Path, tmp_path: Path, calibration: str) -> None:
    file = tmp_path / 'cut.mp4'
    file.write_bytes(walk.read_bytes()[:-2_000_000])
    with pytest.raises(InputError, match=r'cut\.mp4: '):
        list(open_source(file, SourceOptions(camera_info_file=calibration)).frames())


def test_a_video_of_one_image(tmp_path: Path) -> None:
    file = tmp_path / 'one.avi'
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*'MJPG'), 10.0, (64, 48))
    writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    calibration = tmp_path / 'c.yaml'
    calibration.write_text(
        'image_width: 64\nimage_height: 48\ncamera_matrix: {data: [50, 0, 32, 0, 50, 24, 0, 0, 1]}'
    )
    (frame,) = open_source(file, SourceOptions(camera_info_file=str(calibration))).frames()
    assert abs(int(frame.image.mean()) - 90) <= 2
