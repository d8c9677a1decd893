"""An initialpose: moved along by odometry, believed for a while, refused when it is none."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.ros import messages
from hloc_localizer.ros.initial_pose import InitialPose, read_initial_pose


class _Odometry:
    """Knows where the base is in odom, or nothing at all."""

    odom_from_base: np.ndarray | None = None

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> np.ndarray:
        assert (target, source) == ('odom', 'base_link')
        if self.odom_from_base is None:
            raise InputError('no transform')
        return self.odom_from_base


def _pose(yaw: float, x: float, y: float) -> np.ndarray:
    return transforms.transform_from(transforms.rotation_from_rotvec([0.0, 0.0, yaw]), [x, y, 0.0])


GIVEN = _pose(0.5, 3.0, 4.0)


@pytest.fixture
def odometry() -> _Odometry:
    return _Odometry()


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def initial_pose(odometry: _Odometry, now: list[float]) -> InitialPose:
    return InitialPose(
        transforms_lookup=odometry,
        odom_frame='odom',
        base_frame='base_link',
        timeout_s=10.0,
        clock=lambda: now[0],
    )


def _give(
    initial_pose: InitialPose, pose: np.ndarray = GIVEN, covariance: np.ndarray | None = None
) -> None:
    covariance = np.eye(6) if covariance is None else covariance
    message = messages.pose_with_covariance_stamped('map', 0, pose, covariance)
    frame, estimate = read_initial_pose(message)
    assert frame == 'map'
    initial_pose.set(estimate)


def _pose_of(initial_pose: InitialPose) -> np.ndarray:
    estimate = initial_pose.estimate()
    assert estimate is not None
    return estimate.map_from_body


def test_it_moves_with_the_robot(initial_pose: InitialPose, odometry: _Odometry) -> None:
    odometry.odom_from_base = _pose(1.0, 0.0, 0.0)
    _give(initial_pose)
    step = _pose(0.2, 0.7, 0.1)
    odometry.odom_from_base = odometry.odom_from_base @ step
    moved = _pose_of(initial_pose)
    assert moved is not None
    np.testing.assert_allclose(moved, GIVEN @ step, atol=1e-12)


def test_without_odometry_it_stays_where_it_was_given(initial_pose: InitialPose) -> None:
    _give(initial_pose)
    np.testing.assert_allclose(_pose_of(initial_pose), GIVEN, atol=1e-12)


def test_it_ends_with_its_time_or_with_a_fix(initial_pose: InitialPose, now: list[float]) -> None:
    assert initial_pose.estimate() is None
    _give(initial_pose)
    now[0] += 10.1
    assert initial_pose.estimate() is None
    _give(initial_pose)
    assert initial_pose.estimate() is not None
    initial_pose.clear()
    assert initial_pose.estimate() is None


def test_a_pose_that_is_none_leaves_the_old_one(initial_pose: InitialPose) -> None:
    _give(initial_pose)
    broken = GIVEN.copy()
    broken[0, 3] = np.nan
    with pytest.raises(InputError, match='pose: '):
        _give(initial_pose, pose=broken)
    np.testing.assert_allclose(_pose_of(initial_pose), GIVEN, atol=1e-12)


def test_its_covariance_is_kept_and_zeros_mean_unknown(initial_pose: InitialPose) -> None:
    rviz = np.diag([0.25, 0.25, 0.0, 0.0, 0.0, 0.0685])
    _give(initial_pose, covariance=rviz)
    estimate = initial_pose.estimate()
    assert estimate is not None
    sigma = np.sqrt(np.diag(estimate.covariance))
    np.testing.assert_allclose(sigma[:3], [0.559, 0.559, 0.559], atol=0.001)
    np.testing.assert_allclose(np.degrees(sigma[3:]), [15.8, 15.8, 15.8], atol=0.1)


def test_a_covariance_that_is_none_is_refused(initial_pose: InitialPose) -> None:
    for wrong in (np.diag([1.0, 1.0, 1.0, -1.0, 1.0, 1.0]), np.full((6, 6), np.nan)):
        with pytest.raises(InputError, match='covariance'):
            _give(initial_pose, covariance=wrong)
    assert initial_pose.estimate() is None


def test_numbers_that_would_overflow_are_refused(initial_pose: InitialPose) -> None:
    with pytest.raises(InputError, match='further away'):
        _give(initial_pose, pose=_pose(0.0, 1e300, 0.0))
    with pytest.raises(InputError, match='covariance'):
        _give(initial_pose, covariance=np.eye(6) * 1e200)
    assert initial_pose.estimate() is None


def test_a_newer_one_survives_that_an_older_one_was_used(initial_pose: InitialPose) -> None:
    _give(initial_pose)
    assert initial_pose.estimate() is not None
    _give(initial_pose, pose=_pose(0.0, 9.0, 9.0))
    initial_pose.done()
    assert _pose_of(initial_pose)[0, 3] == 9.0
    initial_pose.done()
    assert initial_pose.estimate() is None
