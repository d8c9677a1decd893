"""The TF buffer: chains, interpolation, errors that name the link, late and repeated data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hloc_localizer.geometry import transforms
from hloc_localizer.sources.tf_tree import (
    DisconnectedError,
    ExtrapolationError,
    GapError,
    TfError,
    TfTree,
    UnknownFrameError,
)

SECOND = 1_000_000_000


def pose(x: float, yaw: float = 0.0) -> np.ndarray:
    return transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, 0.0, yaw]), [x, 0.0, 0.0]
    )


def moving_tree(**options: float) -> TfTree:
    """Make map -> odom -> base -> camera, base driving 1 m/s for 10 s at 10 Hz."""
    tree = TfTree(**options)
    tree.add('base', 'camera', 0, pose(0.25), static=True)
    for tick in range(101):
        stamp = tick * SECOND // 10
        tree.add('odom', 'base', stamp, pose(tick / 10))
        tree.add('map', 'odom', stamp, pose(100.0))
    return tree


def test_chain_is_interpolated_at_the_stamp() -> None:
    found = moving_tree().lookup('map', 'camera', round(3.456 * SECOND))
    np.testing.assert_allclose(found, pose(100.0 + 3.456 + 0.25), atol=1e-12)


def test_rotation_is_interpolated_along_the_geodesic() -> None:
    tree = TfTree()
    tree.add('odom', 'base', 0, pose(0.0, 0.0))
    tree.add('odom', 'base', SECOND, pose(2.0, 1.0))
    found = tree.lookup('odom', 'base', SECOND // 4)
    np.testing.assert_allclose(found, pose(0.5, 0.25), atol=1e-12)


def test_lookup_in_the_other_direction_is_the_inverse() -> None:
    tree = moving_tree()
    forward = tree.lookup('map', 'camera', SECOND)
    backward = tree.lookup('camera', 'map', SECOND)
    np.testing.assert_allclose(forward @ backward, np.eye(4), atol=1e-12)


def test_links_above_the_common_ancestor_do_not_matter() -> None:
    tree = TfTree()
    tree.add('map', 'odom', 5 * SECOND, pose(1.0))  # not known at the stamp below
    tree.add('odom', 'base', 0, pose(1.0))
    tree.add('base', 'camera', 0, pose(0.5), static=True)
    np.testing.assert_allclose(tree.lookup('odom', 'camera', 0), pose(1.5))


def test_unknown_frame_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownFrameError, match=r"no frame 'lidar'; frames: base, camera, map"):
        moving_tree().lookup('map', 'lidar', 0)


def test_disconnected_trees_name_both_roots() -> None:
    tree = TfTree()
    tree.add('odom', 'base', 0, pose(1.0))
    tree.add('map', 'goal', 0, pose(1.0))
    with pytest.raises(DisconnectedError, match='publish map -> odom'):
        tree.lookup('map', 'base', 0)
    assert not tree.can_connect('map', 'base')


def test_a_loop_is_an_error_and_not_endless() -> None:
    tree = TfTree()
    tree.add('a', 'b', 0, pose(1.0))
    tree.add('b', 'a', 0, pose(1.0))
    tree.add('map', 'x', 0, pose(1.0))
    with pytest.raises(DisconnectedError, match=r'loop: (a -> b -> a|b -> a -> b)'):
        tree.lookup('map', 'a', 0)


def test_extrapolation_says_which_link_and_by_how_much() -> None:
    tree = moving_tree()
    tree.add('odom', 'base', round(10.5 * SECOND), pose(10.5))
    with pytest.raises(ExtrapolationError, match=r'map -> odom ends 0\.400 s before') as caught:
        tree.lookup('map', 'camera', round(10.4 * SECOND))
    assert caught.value.link == ('map', 'odom')
    assert caught.value.by_ns == round(0.4 * SECOND)
    with pytest.raises(ExtrapolationError, match=r'odom -> base begins 2\.000 s after') as caught:
        tree.lookup('map', 'camera', -2 * SECOND)
    assert caught.value.by_ns == -2 * SECOND


def test_gap_longer_than_allowed_is_refused_and_named() -> None:
    tree = TfTree(max_gap_s=0.5)
    for stamp in (0.0, 0.4, 1.4, 1.8):
        tree.add('odom', 'base', round(stamp * SECOND), pose(stamp))
    np.testing.assert_allclose(tree.lookup('odom', 'base', SECOND // 5), pose(0.2), atol=1e-12)
    with pytest.raises(GapError, match=r'odom -> base has a gap of 1\.000 s'):
        tree.lookup('odom', 'base', SECOND)
    np.testing.assert_allclose(tree.lookup('odom', 'base', round(1.4 * SECOND)), pose(1.4))


def test_static_link_holds_for_every_stamp_and_the_last_one_counts() -> None:
    tree = TfTree()
    tree.add('base', 'camera', 7, pose(1.0), static=True)
    tree.add('base', 'camera', 3, pose(2.0), static=True)
    for stamp in (-SECOND, 0, 10**18):
        np.testing.assert_allclose(tree.lookup('base', 'camera', stamp), pose(2.0))
    assert tree.latest_stamp('base', 'camera') is None


def test_a_frame_may_change_its_parent() -> None:
    tree = TfTree()
    tree.add('map', 'left', 0, pose(10.0), static=True)
    tree.add('map', 'right', 0, pose(20.0), static=True)
    tree.add('left', 'cup', 0, pose(1.0))
    tree.add('left', 'cup', SECOND, pose(2.0))
    tree.add('right', 'cup', 2 * SECOND, pose(3.0))
    tree.add('right', 'cup', 3 * SECOND, pose(4.0))
    np.testing.assert_allclose(tree.lookup('map', 'cup', SECOND // 2), pose(11.5))
    np.testing.assert_allclose(tree.lookup('map', 'cup', round(1.5 * SECOND)), pose(12.0))
    np.testing.assert_allclose(tree.lookup('map', 'cup', round(2.5 * SECOND)), pose(23.5))


def test_latest_stamp_is_that_of_the_slowest_link() -> None:
    tree = moving_tree()
    tree.add('odom', 'base', 11 * SECOND, pose(11.0))
    assert tree.latest_stamp('odom', 'camera') == 11 * SECOND
    assert tree.latest_stamp('map', 'camera') == 10 * SECOND


def test_history_is_bounded() -> None:
    tree = TfTree(history_s=1.0)
    for tick in range(5000):
        tree.add('odom', 'base', tick * SECOND // 100, pose(tick))
    stamps = tree._links['base'].stamps
    assert len(stamps) <= 2 * 101
    assert stamps[0] <= stamps[-1] - SECOND
    assert len(tree._links['base'].values) == 16 * len(stamps)


@pytest.mark.parametrize(
    ('parent', 'child', 'matrix'),
    [
        ('', 'base', np.eye(4)),
        ('base', '', np.eye(4)),
        ('base', 'base', np.eye(4)),
        ('odom', 'base', np.full((4, 4), np.nan)),
    ],
)
def test_senseless_transforms_are_refused(parent: str, child: str, matrix: np.ndarray) -> None:
    with pytest.raises(TfError, match='TF link'):
        TfTree().add(parent, child, 0, matrix)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_order_and_repetition_of_arrival_do_not_matter(ticks: list[int]) -> None:
    arrived = TfTree()
    for tick in ticks:
        arrived.add('odom', 'base', tick * SECOND, pose(float(tick**2), 0.1 * tick))
    ordered = TfTree()
    for tick in sorted(set(ticks)):
        ordered.add('odom', 'base', tick * SECOND, pose(float(tick**2), 0.1 * tick))
    for stamp in range(min(ticks) * SECOND, max(ticks) * SECOND + 1, SECOND // 2):
        np.testing.assert_array_equal(
            arrived.lookup('odom', 'base', stamp), ordered.lookup('odom', 'base', stamp)
        )
