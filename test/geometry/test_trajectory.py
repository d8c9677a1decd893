"""A trajectory answers between its stamps and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.trajectory import Trajectory

SECOND = 1_000_000_000
EPOCH = 1_700_000_000 * SECOND


def circle(count: int = 9) -> Trajectory:
    """Drive a quarter turn in 8 s, 2 m around the origin."""
    fractions = np.linspace(0.0, 1.0, count)
    rotations = transforms.rotation_from_rotvec(np.outer(fractions, [0.0, 0.0, np.pi / 2]))
    positions = rotations @ [2.0, 0.0, 0.0]
    stamps = EPOCH + (fractions * 8 * SECOND).astype(np.int64)
    return Trajectory(stamps, transforms.transform_from(rotations, positions))


@given(st.integers(0, 8 * SECOND))
def test_interpolated_heading_follows_the_turn_to_the_nanosecond(offset):
    pose = circle().at(EPOCH + offset)
    heading = np.arctan2(pose[1, 0], pose[0, 0])
    assert heading == pytest.approx(np.pi / 2 * offset / (8 * SECOND), abs=1e-9)
    # A chord of 11 degrees of a circle of 2 m lies 1 cm inside it at most.
    assert 1.99 < np.linalg.norm(pose[:3, 3]) <= 2.0 + 1e-9


@given(st.integers(0, 8))
def test_a_stamp_of_the_trajectory_gives_its_own_pose(index):
    trajectory = circle()
    assert np.array_equal(
        trajectory.at(int(trajectory.stamps_ns[index]), max_gap_ns=0), trajectory.poses[index]
    )


def test_nothing_is_extrapolated():
    trajectory = circle()
    assert trajectory.at(EPOCH - 1) is None
    assert trajectory.at(EPOCH + 8 * SECOND + 1) is None


def test_nothing_is_interpolated_across_a_long_gap():
    trajectory = circle()
    assert trajectory.at(EPOCH + SECOND // 2, max_gap_ns=SECOND - 1) is None
    assert trajectory.at(EPOCH + SECOND // 2, max_gap_ns=SECOND) is not None


def test_a_returned_pose_is_a_copy():
    trajectory = circle()
    trajectory.at(EPOCH)[0, 3] = 99.0
    assert trajectory.poses[0, 0, 3] == 2.0


@pytest.mark.parametrize('stamps', [[2, 1], [1, 1]])
def test_stamps_must_increase(stamps):
    with pytest.raises(ValueError, match='increase'):
        Trajectory(np.array(stamps, np.int64), np.stack([np.eye(4)] * 2))


def test_stamps_and_poses_must_be_as_many():
    with pytest.raises(ValueError, match='3 stamps'):
        Trajectory(np.arange(3), np.stack([np.eye(4)] * 2))
