"""Reference poses are found by stamp within 1 ms, or by image name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.evaluation import References
from hloc_localizer.sources.frame import Frame

IMAGE = np.zeros((2, 2), np.uint8)


def frame(name: str = 'a.jpg', stamp_ns: int = 0, pose: np.ndarray | None = None) -> Frame:
    return Frame(name, stamp_ns, IMAGE, 'camera', map_from_camera=pose)


@pytest.mark.parametrize(
    ('offset_ns', 'found'), [(0, True), (900_000, True), (-900_000, True), (1_100_000, False)]
)
def test_a_stamp_matches_within_a_millisecond(tmp_path: Path, offset_ns: int, found: bool) -> None:
    (tmp_path / 'gt.tum').write_text('1700000003.2 1 2 3 0 0 0 1\n1700000003.4 5 5 5 0 0 0 1\n')
    references = References.read(tmp_path / 'gt.tum')
    pose = references.find(frame(stamp_ns=1_700_000_003_200_000_000 + offset_ns))
    assert (pose is not None) == found
    if pose is not None:
        np.testing.assert_array_equal(pose[:3, 3], [1, 2, 3])


def test_every_image_of_the_facade_has_its_recorded_pose(shared_data: Path) -> None:
    facade = shared_data / 'data' / 'facade'
    references = References.read(facade / 'camera_poses.txt')
    names = sorted(path.name for path in (facade / 'images').iterdir())
    assert len(names) == 25
    assert all(references.find(frame(name)) is not None for name in names)
    assert all(references.find(frame(f'images/{name}')) is not None for name in names)
    pose = references.find(frame('0000.jpg'))
    assert pose is not None
    np.testing.assert_allclose(pose[:3, 3], [1.92939, -5.32288, 10.0856])
    assert references.find(frame('0025.jpg')) is None


def test_poses_of_the_base_are_taken_from_the_source_that_knows_the_mounting(
    tmp_path: Path,
) -> None:
    (tmp_path / 'gt.tum').write_text('7.0 1 2 3 0 0 0 1\n')
    references = References.read(tmp_path / 'gt.tum', child='base')
    mounted = np.eye(4)
    assert references.find(frame(stamp_ns=7_000_000_000, pose=mounted)) is mounted
    assert references.find(frame(stamp_ns=8_000_000_000, pose=mounted)) is None


def test_a_file_of_another_recording_says_how_far_its_stamps_are_away(tmp_path: Path) -> None:
    (tmp_path / 'gt.tum').write_text('100.0 1 2 3 0 0 0 1\n')
    error = References.read(tmp_path / 'gt.tum').nothing_matched([142_000_000_000])
    assert 'nearest pose 42.000 s away' in str(error)


@pytest.mark.parametrize('text', ['', '# nothing\n', '1.0 2 3\n', 'a.jpg 1 2 3 x 0 0 1\n'])
def test_a_file_that_holds_no_poses_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / 'gt.tum').write_text(text)
    with pytest.raises(InputError, match=r'gt\.tum'):
        References.read(tmp_path / 'gt.tum')
