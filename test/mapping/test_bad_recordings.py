"""Videos that cannot become a map are refused in one line that says why; real images, spoilt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.geometry import transforms
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.progress import SilentProgress
from hloc_localizer.sources import open_source
from hloc_localizer.sources.frame import Frame

FAST = BuildOptions().with_values(
    {'sift.max_keypoints': 800, 'vlad.clusters': 16, 'pairs.sequential': 4, 'report.held_out': 0}
)
RATE_HZ = 5.0
FOCAL_PX = 450.0
Spoil = Callable[[np.ndarray], np.ndarray]


class Notes(SilentProgress):
    """Keeps what a build notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def video(path: Path, images: Sequence[np.ndarray] | Iterator[np.ndarray]) -> Path:
    """Write images (H, W, 3), RGB, as a camera records them: with noise, compressed."""
    random = np.random.default_rng(0)
    writer: cv2.VideoWriter | None = None
    for image in images:
        noisy = np.clip(image + random.normal(0.0, 2.0, image.shape), 0, 255).astype(np.uint8)
        if writer is None:
            size = (image.shape[1], image.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), RATE_HZ, size)
        writer.write(cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))
    assert writer is not None
    writer.release()
    return path


def calibration(folder: Path, width: int, height: int, focal_px: float) -> str:
    """Write a ROS calibration file and return its path."""
    centre = [(width - 1) / 2, (height - 1) / 2]
    values = {
        'image_width': width,
        'image_height': height,
        'camera_matrix': {'data': [focal_px, 0, centre[0], 0, focal_px, centre[1], 0, 0, 1]},
        'distortion_model': 'plumb_bob',
        'distortion_coefficients': {'data': [0.0] * 5},
    }
    file = folder / 'camera.yaml'
    file.write_text(yaml.safe_dump(values))
    return str(file)


def refused(path: Path, options: BuildOptions = FAST) -> str:
    """Build a map that cannot be; check that nothing of it is left; return the error's line."""
    output = path.parent / 'map'
    with pytest.raises(HlocLocalizerError) as told:
        build_map(open_source(path, options.source), output, options)
    assert not output.exists()
    assert '\n' not in str(told.value)
    return str(told.value)


@pytest.fixture(scope='module')
def photograph(shared_data: Path) -> np.ndarray:
    file = sorted((shared_data / 'data' / 'facade' / 'images').iterdir())[5]
    return np.asarray(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB))


def test_a_static_camera(lounge_frames: list[Frame], tmp_path: Path) -> None:
    path = video(tmp_path / 'video.mp4', [lounge_frames[3].image] * 15)
    assert refused(path).startswith('the camera hardly moved: only 1 of 15 images in 2.8 s differ')


def turning(photograph: np.ndarray, images: int) -> Iterator[np.ndarray]:
    """Yield what a camera sees of the front that turns by 20 degrees where it stands."""
    height, width = photograph.shape[:2]
    lens = np.array([[FOCAL_PX, 0.0, 239.5], [0.0, FOCAL_PX, 179.5], [0.0, 0.0, 1.0]])
    wide = np.array([[1100.0, 0, (width - 1) / 2], [0, 1100.0, (height - 1) / 2], [0, 0, 1]])
    for angle in np.radians(np.linspace(-10.0, 10.0, images)):
        turn = transforms.rotation_from_rotvec([0.1 * np.sin(8 * angle), angle, 0.0])
        seen_from = lens @ turn.T @ np.linalg.inv(wide)
        yield cv2.warpPerspective(photograph, seen_from, (480, 360), flags=cv2.INTER_AREA)


@pytest.mark.parametrize('calibrated', [True, False])
def test_a_camera_that_only_turns(photograph: np.ndarray, tmp_path: Path, calibrated: bool) -> None:
    path = video(tmp_path / 'video.mp4', turning(photograph, 9))
    file = calibration(tmp_path, 480, 360, FOCAL_PX) if calibrated else ''
    line = refused(path, FAST.with_values({'source.camera_info_file': file}))
    assert line.startswith('no map could be built: the camera only turned or stood still (')


@pytest.mark.parametrize(
    ('spoil', 'line'),
    [
        (lambda image: 0.03 * image, 'the images are too dark or too bright (5 of 5 looked at); '),
        (lambda image: 255 - 0.03 * image, 'the images are too dark or too bright (5 of 5 looked'),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 6.0), 'the images are blurred (5 of 5 look'),
    ],
    ids=['dark', 'bright', 'blurred'],
)
def test_dark_bright_and_blurred_video(
    lounge_frames: list[Frame], tmp_path: Path, spoil: Spoil, line: str
) -> None:
    path = video(tmp_path / 'video.mp4', [spoil(frame.image) for frame in lounge_frames])
    assert refused(path).startswith(line)


def test_images_that_are_a_little_blurred_are_used_and_told(
    lounge_frames: list[Frame], tmp_path: Path
) -> None:
    soft = [cv2.GaussianBlur(frame.image, (0, 0), 1.8) for frame in lounge_frames]
    notes = Notes()
    source = open_source(video(tmp_path / 'video.mp4', soft), FAST.source)
    report = build_map(source, tmp_path / 'map', FAST, notes)
    assert report.images >= 6
    assert any(line.startswith('the images are blurred (5 of 5 looked at)') for line in notes.lines)


def test_images_without_overlap(photograph: np.ndarray, tmp_path: Path) -> None:
    parts = [
        photograph[row : row + 330, column : column + 480]
        for row in (0, 340, 690)
        for column in (0, 520, 1050)
    ]
    line = refused(video(tmp_path / 'video.mp4', parts))
    assert line.startswith('no map could be built: no two images show the same things')


def test_a_focal_length_off_by_30_percent(shared_data: Path, tmp_path: Path) -> None:
    file = calibration(tmp_path, 540, 360, 1.3 * 495.5)
    options = FAST.with_values(
        {'source.camera_info_file': file, 'source.duration_s': 14.0, 'source.fps': 2.5}
    )
    source = open_source(shared_data / 'data' / 'lounge' / 'walk.mp4', options.source)
    with pytest.raises(HlocLocalizerError, match='the calibration does not fit the images: it'):
        build_map(source, tmp_path / 'map', options)
