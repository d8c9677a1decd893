"""Ways to damage the messages that the localizer node receives, sent through its own parts."""

from __future__ import annotations

import contextlib
import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.tracking import TrackingLocalizer
from hloc_localizer.ros import environment, image_bridge, messages, tf
from hloc_localizer.ros.camera_input import CameraInput
from hloc_localizer.ros.frame_processor import CameraOnRobot, FrameProcessor
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.initial_pose import InitialPose
from hloc_localizer.ros.stream import Stream
from hloc_localizer.ros.transform_lookup import TransformTree
from hloc_localizer.sources import Frame, Source
from hloc_localizer.sources.camera_info import ros_calibration

Random = np.random.Generator

ODOM_FRAME, BASE_FRAME, CAMERA_FRAME = 'odom', 'base_link', 'camera'
BASE_FROM_CAMERA = transforms.transform_from(
    transforms.rotation_from_quaternion([0.5, -0.5, 0.5, -0.5]), [0.1, 0.0, 0.3]
)
NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300, 1e9, -1e9)
INTEGERS = (0, 1, 2, 3, 255, 65535, 2**31 - 1, 2**32 - 1)
TEXTS = (
    '', '/', 'a' * 10000, 'é\u2028', 'bgr9', '../..', 'map', BASE_FRAME, '16UC1', 'nv12',
    'bayer_rggb8', 'jpeg', '; jpeg compressed', '16UC1; compressedDepth png', 'equidistant',
)  # fmt: skip


class MessageFuzzer:
    """The parts of a node that messages go through; use as a context."""

    def __init__(self, localizer: Localizer, source: Source) -> None:
        """Make the parts as the node does."""
        self._localizer = localizer
        self._source = source
        self._stack = environment.isolated()

    def __enter__(self) -> MessageFuzzer:
        variables = self._stack.__enter__()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=[], domain_id=int(variables['ROS_DOMAIN_ID']))
        self._node = Node('fuzzer', context=self._context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)
        self._stack.__exit__(kind, error, trace)

    def send(self, frames: Sequence[Frame], random: Random) -> Mutant:
        """
        Send images with what belongs to them, something of the middle one mutated.

        :param frames: one is localized alone, several are tracked.
        """
        parts = _Parts(self._localizer, track=len(frames) > 1)
        mutated, results, mountings = '', [], []
        for number, frame in enumerate(frames):
            sent, said = _Sent(frame, self._source, random), ''
            if number == len(frames) // 2:
                said = mutated = sent.mutate(random)
            if len(frames) > 1 and not said.startswith('initialpose'):
                sent.initialpose = None  # a person's word would overrule the odometry
            results.append(parts.process(sent))
            mountings.append(parts.mounting(sent))
        return Mutant(mutated, results, mountings)


@dataclass(frozen=True)
class Mutant:
    """What was sent, and what the node's parts made of it."""

    mutated: str
    results: list[FrameResult]
    mountings: list[np.ndarray]
    """(4, 4) ``base_from_camera`` of each, as the messages said; the true one where they fail."""

    @property
    def result(self) -> FrameResult:
        """Of the mutated one."""
        return self.results[len(self.results) // 2]

    def cameras(self, number: int) -> list[np.ndarray]:
        """Return the poses (4, 4) of the camera that a result says, by what is known of it."""
        base = self.results[number].map_from_base
        if base is None:
            return []
        return [base @ BASE_FROM_CAMERA, base @ self.mountings[number]]


class _Sent:
    """An image message and the messages that belong to it."""

    def __init__(self, frame: Frame, source: Source, random: Random) -> None:
        camera, odometry = source.cameras[frame.camera_name], frame.odom_from_camera
        assert odometry is not None
        calibration = ros_calibration(camera)
        odom_from_base = odometry @ transforms.invert(BASE_FROM_CAMERA)
        stamp_ns = frame.stamp_ns
        self.image = _image(frame, random)
        self.info = CameraInfo(
            width=camera.width,
            height=camera.height,
            distortion_model=calibration.distortion_model,
            d=list(calibration.d),
            k=list(calibration.k),
        )
        self.mounting = messages.transform_message(
            BASE_FRAME, CAMERA_FRAME, stamp_ns, BASE_FROM_CAMERA
        )
        self.odometry = messages.transform_message(ODOM_FRAME, BASE_FRAME, stamp_ns, odom_from_base)
        self.initialpose: PoseWithCovarianceStamped | None = messages.pose_with_covariance_stamped(
            'map', stamp_ns, np.eye(4), np.eye(6)
        )

    def mutate(self, random: Random) -> str:
        """Damage one of the messages; return how."""
        kinds: dict[str, tuple[Any, Callable[[Any, Random], str]]] = {
            'image': (self.image, _mutate_image),
            'camera_info': (self.info, _mutate_camera_info),
            'tf': (self.mounting, _mutate_transform),
            'odometry': (self.odometry, _mutate_transform),
            'initialpose': (self.initialpose, _mutate_initial_pose),
        }
        chosen = sorted(kinds)[int(random.integers(len(kinds)))]
        message, mutate = kinds[chosen]
        what = ', '.join(mutate(message, random) for _ in range(int(random.integers(1, 4))))
        return f'{chosen}: {what}'


class _Parts:
    """What a node makes when it becomes active."""

    def __init__(self, localizer: Localizer, *, track: bool) -> None:
        self._tree = _Transforms()
        self._camera = CameraInput('')
        self._initial = InitialPose(
            transforms_lookup=self._tree, map_frame='map', odom_frame=ODOM_FRAME,
            base_frame=BASE_FRAME, timeout_s=10.0,
        )  # fmt: skip
        stream = Stream(
            localizer=TrackingLocalizer(localizer), transforms_lookup=self._tree,
            odom_frame=ODOM_FRAME, base_frame=BASE_FRAME, timeout_s=0.0,
        )  # fmt: skip
        self._processor = FrameProcessor(
            localizer=localizer,
            transforms_lookup=self._tree,
            cameras=[CameraOnRobot('image', self._camera.camera)],
            base_frame=BASE_FRAME,
            timeout_s=0.0,
            stream=stream if track else None,
        )

    def process(self, sent: _Sent) -> FrameResult:
        """Take the messages as the node's callbacks do, and localize the image."""
        self._tree.take(sent.mounting)
        self._tree.take(sent.odometry)
        self._camera.update(sent.info)
        if sent.initialpose is not None:
            with contextlib.suppress(InputError):  # which the node logs
                self._initial.set(sent.initialpose)
        result = self._processor.process({0: sent.image}, self._initial.estimate())
        if result.localized or result.state is not None:
            self._initial.done()
        return result

    def mounting(self, sent: _Sent) -> np.ndarray:
        """Return where the image's frame is on the base."""
        header = sent.image.header
        try:
            return self._tree.lookup(
                BASE_FRAME, header.frame_id, messages.stamp_to_ns(header.stamp)
            )
        except InputError:
            return BASE_FROM_CAMERA


class _Transforms(TransformTree):
    """The node's tree, with the messages handed to it instead of coming by the network."""

    def __init__(self) -> None:
        self._buffer = tf.Buffer()

    def take(self, message: TransformStamped) -> None:
        """Remember a transform as the listener does."""
        self._buffer.set_transform(message, 'fuzzer')


def _image(frame: Frame, random: Random) -> Image | CompressedImage:
    header = messages.header(CAMERA_FRAME, frame.stamp_ns)
    if random.integers(2):
        return image_bridge.encode_image(frame.image, header)
    return image_bridge.encode_compressed(frame.image, header)


def _mutate_image(message: Image | CompressedImage, random: Random) -> str:
    if random.integers(8) == 0:
        return _mutate_header(message, random)
    if isinstance(message, CompressedImage):
        if random.integers(4) == 0:
            message.format = _one_of(TEXTS, random)
            return 'format'
        return _mutate_data(message, random)
    name = _one_of(('width', 'height', 'step', 'encoding', 'is_bigendian', 'data'), random)
    if name == 'data':
        return _mutate_data(message, random)
    if name == 'encoding':
        message.encoding = _one_of(TEXTS, random)
    elif name == 'is_bigendian':
        message.is_bigendian = int(random.integers(256))
    else:
        near = int(getattr(message, name)) + int(random.integers(-3, 4))
        setattr(message, name, max(0, _one_of((*INTEGERS, near, near), random)))
    return name


def _mutate_data(message: Any, random: Random) -> str:
    data = bytearray(message.data)
    how = int(random.integers(4))
    if how == 0 or not data:
        data = data[: int(random.integers(len(data) + 1))]
    elif how == 1:
        data += random.bytes(int(random.integers(1, 1000)))
    elif how == 2:
        for _ in range(int(random.integers(1, 20))):
            data[int(random.integers(len(data)))] = int(random.integers(256))
    else:
        begin = int(random.integers(len(data)))
        part = data[begin : begin + int(random.integers(1, 2000))]
        data[begin : begin + len(part)] = random.bytes(len(part))
    message.data = array('B', bytes(data))
    return ('data cut', 'data longer', 'bytes changed', 'block changed')[how]


def _mutate_camera_info(message: CameraInfo, random: Random) -> str:
    name = _one_of(('k', 'd', 'width', 'height', 'distortion_model', 'roi', 'binning'), random)
    if name == 'k':
        k = list(message.k)
        k[int(random.integers(9))] = _one_of(NUMBERS, random)
        message.k = k
    elif name == 'd':
        length = int(random.integers(0, 16))
        message.d = [_one_of((*NUMBERS, 0.1, 0.1), random) for _ in range(length)]
    elif name in ('width', 'height'):
        setattr(message, name, _one_of(INTEGERS, random))
    elif name == 'distortion_model':
        message.distortion_model = _one_of(TEXTS, random)
    elif name == 'binning':
        message.binning_x = _one_of(INTEGERS, random)
        message.binning_y = _one_of(INTEGERS, random)
    else:
        for part in ('x_offset', 'y_offset', 'width', 'height'):
            setattr(message.roi, part, _one_of(INTEGERS, random))
    return name


def _mutate_transform(message: TransformStamped, random: Random) -> str:
    name = _one_of(('header', 'child', 'translation', 'rotation'), random)
    if name == 'header':
        return _mutate_header(message, random)
    if name == 'child':
        message.child_frame_id = _one_of(TEXTS, random)
    elif name == 'translation':
        setattr(message.transform.translation, _one_of('xyz', random), _one_of(NUMBERS, random))
    else:
        setattr(message.transform.rotation, _one_of('xyzw', random), _one_of(NUMBERS, random))
    return name


def _mutate_initial_pose(message: PoseWithCovarianceStamped, random: Random) -> str:
    name = _one_of(('header', 'position', 'orientation', 'covariance'), random)
    if name == 'header':
        return _mutate_header(message, random)
    if name == 'position':
        setattr(message.pose.pose.position, _one_of('xyz', random), _one_of(NUMBERS, random))
    elif name == 'orientation':
        setattr(message.pose.pose.orientation, _one_of('xyzw', random), _one_of(NUMBERS, random))
    else:
        covariance = np.array(message.pose.covariance)
        covariance[int(random.integers(36))] = _one_of(NUMBERS, random)
        message.pose.covariance = covariance
    return name


def _mutate_header(message: Any, random: Random) -> str:
    if random.integers(2):
        message.header.frame_id = _one_of(TEXTS, random)
        return 'frame_id'
    message.header.stamp.sec = int(random.integers(-(2**31), 2**31))
    message.header.stamp.nanosec = int(random.integers(2**32))
    return 'stamp'


def _one_of(values: Any, random: Random) -> Any:
    return values[int(random.integers(len(values)))]
