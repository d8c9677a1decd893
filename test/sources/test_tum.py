"""TUM files: exact stamps, round trips, errors with line numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.sources.tum import read_poses_by_image, read_tum, stamp_text, write_tum

POSE = '1 2 3 0 0 0 1'


def test_reference_file_is_read_to_the_nanosecond(shared_data: Path) -> None:
    trajectory = read_tum(shared_data / 'data/lounge/map.camera.tum')
    assert len(trajectory) == 220
    assert trajectory.stamps_ns[1] == 1_700_000_000_200_000_048
    np.testing.assert_allclose(trajectory.poses[0][:3, 3], [-1.943120, -4.679990, 0.112344])


@pytest.mark.parametrize(
    ('text', 'stamp'),
    [
        ('1700000000.123456789', 1_700_000_000_123_456_789),
        ('1700000000', 1_700_000_000_000_000_000),
        ('1.7e9', 1_700_000_000_000_000_000),
        ('0.000000001', 1),
        ('-0.5', -500_000_000),
    ],
)
def test_stamps_are_read_without_loss(tmp_path: Path, text: str, stamp: int) -> None:
    file = tmp_path / 'poses.tum'
    file.write_text(f'{text} {POSE}\n')
    assert read_tum(file).stamps_ns.tolist() == [stamp]


def test_lines_are_sorted_and_comments_skipped(tmp_path: Path) -> None:
    file = tmp_path / 'poses.tum'
    file.write_text(f'# a comment\n2.0 {POSE}\n\n1.0 {POSE}  # another\n2.0 9 9 9 0 0 0 1\n')
    trajectory = read_tum(file)
    assert trajectory.stamps_ns.tolist() == [1_000_000_000, 2_000_000_000]
    np.testing.assert_array_equal(trajectory.poses[1][:3, 3], [9, 9, 9])


@pytest.mark.parametrize(
    ('line', 'problem'),
    [
        ('1.0 1 2 3', 'expected "stamp tx ty tz qx qy qz qw"'),
        ('first 1 2 3 0 0 0 1', "'first' is not a stamp"),
        ('nan 1 2 3 0 0 0 1', "'nan' is not a stamp"),
        ('1700000000000000000 1 2 3 0 0 0 1', 'is not a stamp in seconds'),
        ('1.0 1 two 3 0 0 0 1', 'two'),
        ('1.0 1 inf 3 0 0 0 1', 'not finite'),
        ('1.0 1 2 3 0 0 0 0', 'quaternion has no direction'),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / 'poses.tum'
    file.write_text(f'0.5 {POSE}\n{line}\n')
    with pytest.raises(InputError) as caught:
        read_tum(file)
    assert f'{file}:2: ' in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'# only a comment\n', b'\xff\xfe\x00binary'])
def test_a_file_without_poses_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / 'poses.tum'
    file.write_bytes(content)
    with pytest.raises(InputError, match=r'poses\.tum: (no poses|not a text file)'):
        read_tum(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'absent\.tum: cannot be read: No such file'):
        read_tum(tmp_path / 'absent.tum')


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 4_000_000_000_000_000_000), min_size=1, max_size=20, unique=True),
    st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_read_again(tmp_path: Path, stamps: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    poses = transforms.transform_from(
        transforms.rotation_from_rotvec(random.normal(size=(len(stamps), 3))),
        random.normal(scale=100.0, size=(len(stamps), 3)),
    )
    file = tmp_path / 'poses.tum'
    write_tum(file, Trajectory(np.array(sorted(stamps), np.int64), poses))
    again = read_tum(file)
    assert again.stamps_ns.tolist() == sorted(stamps)
    np.testing.assert_allclose(again.poses, poses, atol=2e-9)


def test_stamp_text_has_nine_digits() -> None:
    assert stamp_text(1_700_000_000_000_000_001) == '1700000000.000000001'
    assert stamp_text(-1) == '-0.000000001'


def test_poses_by_image_of_the_facade(shared_data: Path) -> None:
    poses = read_poses_by_image(shared_data / 'data/facade/camera_poses.txt')
    assert sorted(poses) == [f'{number:04d}.jpg' for number in range(25)]
    np.testing.assert_allclose(poses['0000.jpg'][:3, 3], [1.92939, -5.32288, 10.0856])


def test_unwritable_output_is_named(tmp_path: Path) -> None:
    trajectory = Trajectory(np.array([1], np.int64), np.eye(4)[None])
    with pytest.raises(InputError, match='cannot be written'):
        write_tum(tmp_path / 'absent' / 'poses.tum', trajectory)
