"""A robot with one camera, as the tests of the localizer node need it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from rclpy.qos import ReliabilityPolicy
from ros_process import Client, Heard, clean_node_process, wait_until
from sensor_msgs.msg import CameraInfo, Image

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import image_bridge, messages, tf
from hloc_localizer.sources import Frame
from hloc_localizer.sources.camera_info import ros_calibration

NODE = 'hloc_localizer.ros.localizer'
CAMERA_FRAME = 'camera_optical_frame'
BASE_FROM_CAMERA = transforms.transform_from(
    transforms.rotation_from_quaternion([0.5, -0.5, 0.5, -0.5]), [0.1, 0.0, 0.3]
)
STARTING_S = 20.0


class Robot:
    """Publishes one camera's images to the node and reads its answers."""

    def __init__(self, client: Client, frame: Frame, camera: Camera) -> None:
        """Publish the camera's place on the robot."""
        self.client = client
        self.frame = frame
        self.camera = camera
        self._images = client.node.create_publisher(Image, 'image', 1)
        self._infos = client.node.create_publisher(CameraInfo, 'camera_info', 1)
        self._static = tf.StaticTransformBroadcaster(client.node)
        self._static.sendTransform(
            messages.transform_message('base_link', CAMERA_FRAME, 0, BASE_FROM_CAMERA)
        )
        self.status = client.listen(DiagnosticStatus, '/hloc_localizer/status')
        self.poses = client.listen(PoseStamped, '/hloc_localizer/pose')
        self.diagnostics = client.listen(DiagnosticArray, '/diagnostics')

    def wait_for_node(self) -> None:
        """Wait until the node is active, its topics are connected, and no image can be lost."""
        wait_until(
            lambda: self._images.get_subscription_count() and len(self.diagnostics),
            STARTING_S,
            'the node to become active',
        )
        wait_until(self._is_heard_reliably, 5.0, 'the node to ask for reliable images')

    def _is_heard_reliably(self) -> bool:
        topic = self._images.topic_name
        return all(
            info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            for info in self.client.node.get_subscriptions_info_by_topic(topic)
        )

    def send_info(self, camera: Camera | None = None, **changes: Any) -> None:
        """Publish a calibration, and give it time to arrive before the next image."""
        camera = camera or self.camera
        calibration = ros_calibration(camera)
        message = CameraInfo(width=camera.width, height=camera.height)
        message.distortion_model = calibration.distortion_model
        message.d, message.k = list(calibration.d), list(calibration.k)
        for name, value in changes.items():
            setattr(message, name, value)
        self._infos.publish(message)
        time.sleep(0.1)

    def say_where(self, map_frame: str) -> None:
        """Publish an initialpose at the origin of the map, and give it time to arrive."""
        publisher = self.client.node.create_publisher(PoseWithCovarianceStamped, 'initialpose', 1)
        wait_until(publisher.get_subscription_count, 5.0, 'somebody who hears initialpose')
        publisher.publish(messages.pose_with_covariance_stamped(map_frame, 0, np.eye(4), np.eye(6)))
        time.sleep(0.2)

    def image(self, pixels: np.ndarray | None = None) -> Image:
        """Return a message of some pixels, by default those of the recording."""
        header = messages.header(CAMERA_FRAME, time.time_ns())
        return image_bridge.encode_image(self.frame.image if pixels is None else pixels, header)

    def publish(self, image: Image) -> None:
        """Publish an image."""
        self._images.publish(image)

    def answer_to(self, image: Image) -> dict[str, str]:
        """Publish an image and return the fields of the node's answer to it."""
        before = len(self.status)
        self._images.publish(image)
        wait_until(lambda: len(self.status) > before, 10.0, 'an answer')
        message = self.status.messages[-1]
        stamp_ns = messages.stamp_to_ns(image.header.stamp)
        answer = {v.key: v.value for v in message.values}
        assert int(answer['stamp'].replace('.', '')) == stamp_ns
        return answer

    def diagnosis(self, name: str) -> DiagnosticStatus:
        """Return the next report on a part of the node."""
        before = len(self.diagnostics)
        wait_until(lambda: len(self.diagnostics) > before, 5.0, 'diagnostics')
        found = [s for s in self.diagnostics.messages[-1].status if s.name.endswith(name)]
        return found[0]


@contextmanager
def robot_with_node(
    environment: dict[str, str], frame: Frame, camera: Camera, /, **parameters: object
) -> Iterator[Robot]:
    """
    Run a localizer node, and a robot beside it that has told its calibration.

    At the end the node must stop without any error; the robot leaves even where it does not.

    :param environment: variables of the ROS domain.
    :param frame: what the camera of the robot sees.
    :param parameters: of the node.
    """
    with (
        closing(Client(environment)) as client,
        clean_node_process(NODE, environment, parameters),
    ):
        robot = Robot(client, frame, camera)
        robot.wait_for_node()
        robot.send_info()
        yield robot


class Odometry:
    """Sends ``odom -> base_link`` at 50 Hz, of a robot that stands or drives straight on."""

    def __init__(self, client: Client) -> None:
        """Begin at rest, and give it time to be heard by a node that runs."""
        self.metres_per_s = 0.0
        self.metres = 0.0
        self.on = True
        self._broadcaster = tf.TransformBroadcaster(client.node)
        self._timer = client.node.create_timer(0.02, self._send)
        hears_it = self._broadcaster.pub_tf.get_subscription_count
        wait_until(hears_it, 5.0, 'somebody who hears odometry')
        time.sleep(0.2)

    def drive(self, metres: float, metres_per_s: float = 1.0) -> None:
        """Drive so far, back if negative, and stand."""
        self.metres_per_s = np.copysign(metres_per_s, metres)
        time.sleep(abs(metres) / metres_per_s)
        self.metres_per_s = 0.0

    def _send(self) -> None:
        self.metres += 0.02 * self.metres_per_s
        pose = transforms.transform_from(np.eye(3), [self.metres, 0.0, 0.0])
        if self.on:
            self._broadcaster.sendTransform(
                messages.transform_message('odom', 'base_link', time.time_ns(), pose)
            )


def corrections(heard: Heard) -> int:
    """Return how often ``map -> odom`` was among the messages of ``/tf``."""
    return sum(
        transform.child_frame_id == 'odom'
        for message in heard.messages
        for transform in message.transforms
    )
