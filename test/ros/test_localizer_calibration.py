"""Calibrations as cameras send them: once and kept, and for rectified images."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from rclpy.qos import DurabilityPolicy, QoSProfile
from robot import NODE, Robot
from ros_process import Client, clean_node_process, wait_until
from sensor_msgs.msg import CameraInfo

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros.cameras import Cameras
from hloc_localizer.ros.map_loading import load_maps
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.sources import Frame
from hloc_localizer.sources.camera_info import ros_calibration

REMAPPINGS = ['image:=/camera/image_rect', 'camera_info:=/camera/camera_info']


def _of_rectified(camera: Camera) -> CameraInfo:
    """Return what image_proc sends beside rectified images: K and D are of the raw ones."""
    calibration = ros_calibration(camera)
    message = CameraInfo(width=camera.width, height=camera.height, distortion_model='plumb_bob')
    message.p = list(calibration.p)
    message.k = [
        value * factor for value, factor in zip(calibration.k, (1.2,) * 8 + (1,), strict=True)
    ]
    message.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
    return message


@pytest.mark.parametrize(
    ('topic', 'rectified'),
    [('/camera/image_raw', False), ('/camera/image_rect', True), ('/left/image_rect_color', True)],
)
@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_rectified_images_are_not_undistorted_again(
    frame_and_camera: tuple[Frame, Camera], topic: str, rectified: bool, transport: str
) -> None:
    options = LocalizerNodeOptions().with_values({'image_transport': transport})
    camera = frame_and_camera[1]
    cameras = Cameras(options, lambda name: topic if name == 'image' else '/camera/camera_info')
    assert cameras.inputs[0].update(_of_rectified(camera)) == ''
    found = cameras.inputs[0].camera()
    assert (found.focal_px == pytest.approx(camera.focal_px)) is rectified
    assert (found.model == 'PINHOLE') is rectified


def test_a_calibration_sent_once_before_the_node_began_is_heard(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera], ros_environment: dict[str, str]
) -> None:
    arguments = [part for rule in REMAPPINGS for part in ('-r', rule)]
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with ExitStack() as stack:
        client = Client(ros_environment, cli_args=['--ros-args', *arguments])
        stack.callback(client.close)
        infos = client.node.create_publisher(CameraInfo, 'camera_info', latched)
        infos.publish(_of_rectified(frame_and_camera[1]))
        parameters = {'map': lounge_map}
        stack.enter_context(clean_node_process(NODE, ros_environment, parameters, REMAPPINGS))
        robot = Robot(client, *frame_and_camera)
        robot.wait_for_node()
        wait_until(lambda: infos.get_subscription_count() == 2, 5.0, 'a latched subscription')
        answer = robot.answer_to(robot.image())
        assert answer['status'] == 'localized'
        assert 'focal length' not in robot.diagnosis('inputs').message
        other = _of_rectified(frame_and_camera[1])
        other.header.frame_id = 'other_camera'
        infos.publish(other)
        time.sleep(0.2)
        robot.answer_to(robot.image())
        wait_until(
            lambda: "is of 'other_camera'" in robot.diagnosis('inputs').message, 5.0, 'a doubt'
        )


@pytest.mark.parametrize(
    ('values', 'named'),
    [
        ({'odom_frame': 'map'}, "'map_frame' and 'odom_frame' are both 'map'"),
        ({'base_frame': '/odom'}, "'odom_frame' and 'base_frame' are both 'odom'"),
        ({'map_frame': 'base_link'}, "'map_frame' and 'base_frame' are both 'base_link'"),
    ],
)
def test_frames_that_are_one_are_refused(
    lounge_map: Path, values: dict[str, str], named: str
) -> None:
    options = LocalizerNodeOptions().with_values({'map': str(lounge_map), **values})
    with pytest.raises(InputError, match=named):
        load_maps(options)
