"""Arrays to messages and back, and the layout that other nodes read."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from geometry_msgs.msg import Pose

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import map_messages, messages

STAMP_NS = 1_700_000_003_000_000_019


@pytest.fixture
def pose() -> np.ndarray:
    return transforms.transform_from(
        transforms.rotation_from_rotvec([0.3, -2.0, 0.4]), [1.0, -2.5, 0.125]
    )


def test_stamps_keep_every_nanosecond() -> None:
    stamp = messages.stamp_from_ns(STAMP_NS)
    assert (stamp.sec, stamp.nanosec) == (1_700_000_003, 19)
    assert messages.stamp_to_ns(stamp) == STAMP_NS


def test_poses_and_transforms_survive_the_round_trip(pose: np.ndarray) -> None:
    np.testing.assert_allclose(
        messages.pose_from_message(messages.pose_message(pose)), pose, atol=1e-12
    )
    stamped = messages.transform_message('map', 'odom', STAMP_NS, pose)
    assert (stamped.header.frame_id, stamped.child_frame_id) == ('map', 'odom')
    np.testing.assert_allclose(messages.transform_from_message(stamped.transform), pose, atol=1e-12)


def test_covariance_is_written_row_by_row_in_the_order_of_ros(pose: np.ndarray) -> None:
    covariance = np.arange(36.0).reshape(6, 6)
    message = messages.pose_with_covariance_stamped('map', STAMP_NS, pose, covariance)
    assert message.pose.covariance[7] == covariance[1, 1]  # variance of y
    assert message.pose.covariance[35] == covariance[5, 5]  # variance of the turn about z
    assert message.pose.covariance[5] == covariance[0, 5]


@pytest.mark.parametrize('broken', ['nan', 'zero quaternion'])
def test_a_pose_that_is_none_is_refused(broken: str) -> None:
    message = Pose()
    message.orientation.w = 0.0 if broken == 'zero quaternion' else 1.0
    message.position.x = float('nan') if broken == 'nan' else 0.0
    with pytest.raises(InputError, match='pose: '):
        messages.pose_from_message(message)


def test_cloud_has_the_layout_of_pcl_pointxyzrgb() -> None:
    points = np.array([[1.0, 2.0, 3.0], [-4.0, 5.5, 0.25]], np.float32)
    colors = np.array([[255, 0, 0], [1, 2, 3]], np.uint8)
    cloud = map_messages.point_cloud('map', STAMP_NS, points, colors)
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        ('x', 0, 7), ('y', 4, 7), ('z', 8, 7), ('rgb', 12, 7),
    ]  # fmt: skip
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 16, 32)
    rows = np.frombuffer(bytes(cloud.data), np.dtype('<f4')).reshape(2, 4)
    np.testing.assert_array_equal(rows[:, :3], points)
    assert rows[:, 3].copy().view(np.uint32).tolist() == [0xFF0000, 0x010203]


def test_an_empty_cloud_is_a_cloud() -> None:
    cloud = map_messages.point_cloud('map', 0, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    assert (cloud.width, len(cloud.data)) == (0, 0)


def test_a_frustum_opens_along_the_optical_axis_as_wide_as_the_image() -> None:
    camera = Camera('PINHOLE', 640, 480, (320.0, 320.0, 319.5, 239.5))
    lines = map_messages.frustum(camera, 0.5)
    assert lines.shape == (16, 3)
    corners = lines[1:8:2]
    np.testing.assert_allclose(corners[:, 2], 0.5)
    assert np.ptp(corners[:, 0]) == pytest.approx(0.5 * 639 / 320)
    assert np.ptp(corners[:, 1]) == pytest.approx(0.5 * 479 / 320)
