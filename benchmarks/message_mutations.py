"""Ways to damage the messages that the localizer node receives."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from benchmarks.virtual_rigs import View
from hloc_localizer.ros import image_bridge, messages
from hloc_localizer.sources.camera_info import ros_calibration

Random = np.random.Generator

ODOM_FRAME, BASE_FRAME = 'odom', 'base_link'
NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300, 1e9, -1e9)
INTEGERS = (0, 1, 2, 3, 255, 65535, 2**31 - 1, 2**32 - 1)
TEXTS = (
    '', '/', 'a' * 10000, 'é\u2028', 'bgr9', '../..', 'map', BASE_FRAME, '16UC1', 'nv12',
    'bayer_rggb8', 'jpeg', '; jpeg compressed', '16UC1; compressedDepth png', 'equidistant',
)  # fmt: skip
SKEWS_MS = (-1000, -25, -19, -10, -1, 1, 10, 19, 25, 100, 1000)
"""By how much a camera may be late; as one moment count those at most 20 ms apart."""


class SentMoment:
    """The images of one moment and the messages that belong to them."""

    def __init__(
        self, views: Sequence[View], stamp_ns: int, odom_from_base: np.ndarray, random: Random
    ) -> None:
        """Make good messages."""
        self.images = [_image(view, stamp_ns, random) for view in views]
        self.infos = [_camera_info(view) for view in views]
        self.mountings = [
            messages.transform_message(BASE_FRAME, view.name, stamp_ns, view.base_from_camera)
            for view in views
        ]
        self.odometry = [
            messages.transform_message(ODOM_FRAME, BASE_FRAME, stamp_ns, odom_from_base)
        ]
        self.initialpose: PoseWithCovarianceStamped | None = messages.pose_with_covariance_stamped(
            'map', stamp_ns, np.eye(4), np.eye(6)
        )
        self._stamp_ns = stamp_ns
        self._odom_from_base = odom_from_base

    def mutate(self, random: Random) -> str:
        """Damage one of the messages, or of each of two cameras one; return how."""
        if len(self.images) == 1:
            return self._mutate(0, random)
        whose = (0,), (1,), (0, 1)
        chosen = whose[int(random.integers(len(whose)))]
        said = [f'{("first", "second")[n]} {self._mutate(n, random)}' for n in chosen]
        return ', '.join(said)

    def _mutate(self, camera: int, random: Random) -> str:
        kinds: dict[str, tuple[Any, Callable[[Any, Random], str]]] = {
            'image': (self.images[camera], mutate_image),
            'camera_info': (self.infos[camera], _mutate_camera_info),
            'tf': (self.mountings[camera], _mutate_transform),
            'odometry': (self.odometry[0], _mutate_transform),
            'initialpose': (self.initialpose, _mutate_initial_pose),
        }
        if len(self.images) > 1:
            kinds['skew'] = camera, self._skew
        chosen = _one_of(sorted(kinds), random)
        message, mutate = kinds[chosen]
        what = ', '.join(mutate(message, random) for _ in range(int(random.integers(1, 4))))
        return f'{chosen}: {what}'

    def _skew(self, camera: int, random: Random) -> str:
        """Let a camera say another time, at which the robot was where it is now."""
        skew_ms = _one_of(SKEWS_MS, random)
        stamp_ns = self._stamp_ns + skew_ms * 1_000_000
        stamp = messages.header('', stamp_ns).stamp
        self.images[camera].header.stamp = stamp
        if random.integers(4):
            self.mountings[camera].header.stamp = stamp
        if random.integers(4):
            self.odometry.append(
                messages.transform_message(ODOM_FRAME, BASE_FRAME, stamp_ns, self._odom_from_base)
            )
        return f'{skew_ms} ms'


def _image(view: View, stamp_ns: int, random: Random) -> Image | CompressedImage:
    header = messages.header(view.name, stamp_ns)
    if random.integers(2):
        return image_bridge.encode_image(view.image, header)
    return image_bridge.encode_compressed(view.image, header)


def _camera_info(view: View) -> CameraInfo:
    calibration = ros_calibration(view.camera)
    return CameraInfo(
        width=view.camera.width,
        height=view.camera.height,
        distortion_model=calibration.distortion_model,
        d=list(calibration.d),
        k=list(calibration.k),
    )


def mutate_image(message: Image | CompressedImage, random: Random) -> str:
    """Damage the message of an image; return how."""
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
