"""Publishes images to a localizer node and hears what it answers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import image_bridge, messages, tf
from hloc_localizer.sources.camera_info import ros_calibration

CAMERA_FRAME = 'camera'
_START_S = 60.0
_RECORDED_HZ = 5.0
_STAGES = ('decode', 'inputs', 'localize')


@dataclass(frozen=True)
class Answer:
    """What the node said about an image."""

    stamp_ns: int
    heard_ns: int
    localized: bool
    latency_ms: float
    """From its reception, waiting for its turn included."""
    work_ms: float
    """Decoding, looking up, localizing."""


class NodeClient:
    """A robot with one camera; use as a context."""

    def __init__(self, variables: dict[str, str]) -> None:
        """Remember the ROS domain."""
        self._variables = variables

    def __enter__(self) -> NodeClient:
        os.environ.update(
            {k: v for k, v in self._variables.items() if k.startswith(('ROS', 'RMW'))}
        )
        self._context = rclpy.Context()
        domain = int(self._variables['ROS_DOMAIN_ID'])
        rclpy.init(context=self._context, args=[], domain_id=domain)
        self._node = Node('client', context=self._context)
        # As on a robot, not from the process of the camera: see the QoS of /tf in transform_lookup.
        self._body = rclpy.Context()
        rclpy.init(context=self._body, args=[], domain_id=domain)
        self._base = Node('base', context=self._body)
        self._images = self._node.create_publisher(Image, 'image', 2)
        self._compressed = self._node.create_publisher(CompressedImage, 'image/compressed', 2)
        self._infos = self._node.create_publisher(CameraInfo, 'camera_info', 1)
        self._static = tf.StaticTransformBroadcaster(self._base)
        self._static.sendTransform(
            messages.transform_message('base_link', CAMERA_FRAME, 0, np.eye(4))
        )
        self._odometry = tf.TransformBroadcaster(self._base)
        self._clock = self._node.create_publisher(Clock, '/clock', 1)
        self._heard = threading.Condition()
        self.log: list[Answer] = []
        self.answers = 0
        self.keep_log = False
        self._last: Answer | None = None
        self._node.create_subscription(
            DiagnosticStatus, '/hloc_localizer/status', self._on_status, 100
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        self.wait_for_subscription()
        return self

    def wait_for_subscription(self) -> None:
        """Wait until a node listens to the images."""
        deadline = time.monotonic() + _START_S
        while not (self._images.get_subscription_count() or self.wants_compressed):
            if time.monotonic() > deadline:
                raise RuntimeError(f'no node has subscribed to the images within {_START_S:g} s')
            time.sleep(0.05)
        time.sleep(0.5)  # its publishers are found a little later

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        self._thread.join()
        for node, context in ((self._node, self._context), (self._base, self._body)):
            node.destroy_node()
            rclpy.shutdown(context=context)

    @property
    def node(self) -> Node:
        """The node that is spun."""
        return self._node

    @property
    def wants_compressed(self) -> bool:
        """Whether somebody listens to compressed images."""
        return bool(self._compressed.get_subscription_count())

    def send_camera_info(self, camera: Camera) -> None:
        """Publish a calibration and let it arrive."""
        calibration = ros_calibration(camera)
        message = CameraInfo(width=camera.width, height=camera.height)
        message.distortion_model = calibration.distortion_model
        message.d, message.k = list(calibration.d), list(calibration.k)
        self._infos.publish(message)
        time.sleep(0.2)

    def send_clock(self, now_ns: int) -> None:
        """Publish the time, for nodes with ``use_sim_time``."""
        self._clock.publish(Clock(clock=messages.stamp_from_ns(now_ns)))

    def send_odometry(self, odom_from_base: np.ndarray, stamp_ns: int) -> None:
        """Publish where odometry says that the robot is."""
        self._odometry.sendTransform(
            messages.transform_message('odom', 'base_link', stamp_ns, odom_from_base)
        )

    def restart_camera(self) -> None:
        """Leave and come back as a driver does that starts again."""
        self._node.destroy_publisher(self._images)
        self._images = self._node.create_publisher(Image, 'image', 2)
        self.wait_for_subscription()

    def send(self, pixels: np.ndarray, stamp_ns: int | None = None) -> int:
        """Publish an image, stamped now if nothing else is said, and return its stamp."""
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        self.publish(self.encode(pixels, stamp_ns))
        return stamp_ns

    def encode(self, pixels: np.ndarray, stamp_ns: int) -> Image | CompressedImage:
        """Return the message of an image, of the kind that is listened to."""
        header = messages.header(CAMERA_FRAME, stamp_ns)
        if self.wants_compressed:
            return image_bridge.encode_compressed(pixels, header)
        return image_bridge.encode_image(pixels, header)

    def publish(self, image: Image | CompressedImage) -> None:
        """Publish the message of an image."""
        compressed = isinstance(image, CompressedImage)
        (self._compressed if compressed else self._images).publish(image)

    def send_and_wait(
        self, pixels: np.ndarray, timeout_s: float = 2.0, stamp_ns: int | None = None
    ) -> Answer | None:
        """Publish an image and return the answer to it; None when there is none."""
        stamp_ns = self.send(pixels, stamp_ns)
        with self._heard:
            self._heard.wait_for(
                lambda: self._last is not None and self._last.stamp_ns == stamp_ns, timeout_s
            )
            last = self._last
        return last if last is not None and last.stamp_ns == stamp_ns else None

    def localized(self, pixels: np.ndarray, timeout_s: float) -> bool:
        """Send an image again and again, as often as a camera does, until one is localized."""
        deadline = time.monotonic() + timeout_s
        first_ns = time.time_ns()
        while time.monotonic() < deadline:
            self.send(pixels)
            with self._heard:
                if self._heard.wait_for(lambda: self._has_localized(first_ns), 1.0 / _RECORDED_HZ):
                    return True
        return False

    def _has_localized(self, since_ns: int) -> bool:
        last = self._last
        return last is not None and last.localized and last.stamp_ns >= since_ns

    def _on_status(self, message: DiagnosticStatus) -> None:
        now_ns = time.time_ns()
        values = {value.key: value.value for value in message.values}
        answer = Answer(
            stamp_ns=int(values['stamp'].replace('.', '')),
            heard_ns=now_ns,
            localized=values['status'] == 'localized',
            latency_ms=float(values['latency_ms']),
            work_ms=sum(float(values.get(f'stage_ms.{stage}', 0.0)) for stage in _STAGES),
        )
        with self._heard:
            self.answers += 1
            self._last = answer
            if self.keep_log:
                self.log.append(answer)
            self._heard.notify_all()


@dataclass(frozen=True)
class StreamReport:
    """How old the output of a stream was."""

    hz: float
    sent: int
    answers: list[Answer]

    @property
    def ages_ms(self) -> np.ndarray:
        """From the stamp of the image to the arrival of the answer."""
        return np.array([(a.heard_ns - a.stamp_ns) / 1e6 for a in self.answers])

    @property
    def work_ms(self) -> np.ndarray:
        """What was worked on the images themselves."""
        return np.array([a.work_ms for a in self.answers])

    @property
    def waits_ms(self) -> np.ndarray:
        """How long the images waited in the node; longer than a frame means a backlog."""
        return np.array([a.latency_ms for a in self.answers]) - self.work_ms

    @property
    def late(self) -> int:
        """Answers older than two frames and the time that was worked on their own image."""
        return int(np.sum(self.ages_ms > 2e3 / self.hz + self.work_ms))

    @property
    def reached(self) -> bool:
        """Whether the node always worked on the newest image."""
        return bool(self.answers) and self.late == 0

    def lines(self) -> list[str]:
        """Return the numbers as text."""
        waits, transport = self.waits_ms, self.ages_ms - self.work_ms - self.waits_ms
        parts = {
            'age of the output': self.ages_ms,
            '  worked on it': self.work_ms,
            '  waited for its turn': waits,
            '  sent to and fro': transport,
        }
        return [
            f'{self.sent} images at {self.hz:g} Hz, {len(self.answers)} answered, '
            f'{sum(a.localized for a in self.answers)} localized',
            *(
                f'{name}: median {np.median(ms):.0f} ms, p95 {np.percentile(ms, 95):.0f} ms, '
                f'largest {ms.max():.0f} ms'
                for name, ms in parts.items()
            ),
            f'older than two frames and the latency: {self.late} (target 0); waited for more than '
            f'a frame: {int(np.sum(waits > 1e3 / self.hz))}',
        ]


class Camera30:
    """A camera that does not wait for anybody."""

    def __init__(
        self, client: NodeClient, views: Sequence[tuple[np.ndarray, np.ndarray]], hz: float
    ) -> None:
        """
        Prepare.

        :param views: images, recorded five times a second, with their odometry; each is sent as
            often as fills that time.
        """
        self._client = client
        self._views = views
        self._hz = hz

    def play(self, count: int) -> StreamReport:
        """Publish at the rate and judge every answer."""
        client = self._client
        client.log.clear()
        client.keep_log = True
        begin = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, begin + number / self._hz - time.monotonic()))
            pixels, odom = self._views[int(number * _RECORDED_HZ / self._hz) % len(self._views)]
            stamp_ns = time.time_ns()
            client.send_odometry(odom, stamp_ns)
            client.send(pixels, stamp_ns)
        time.sleep(1.0)
        client.keep_log = False
        return StreamReport(self._hz, count, list(client.log))
