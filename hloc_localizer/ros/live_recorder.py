"""Records live topics into a bag that a map is then built of; nothing but the bag grows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from hloc_localizer.errors import InputError
from hloc_localizer.ros.image_bridge import decode_image
from hloc_localizer.ros.image_subscription import ImageSubscription
from hloc_localizer.ros.latched_subscription import LatchedSubscription
from hloc_localizer.ros.map_builder_options import MapBuilderNodeOptions
from hloc_localizer.ros.messages import stamp_to_ns
from hloc_localizer.ros.parameters import checked_path
from hloc_localizer.sources.bag_reader import CAMERA_INFO, COMPRESSED_IMAGE, TF
from hloc_localizer.sources.bag_writer import BagWriter
from hloc_localizer.sources.options import NONE, SourceOptions

_NAMED_TOPICS = ('poses_topic', 'odom_topic', 'depth_topic', 'imu_topic')
_ADAPT_S = 0.5
_JPEG_QUALITY = 95
_TF_QOS = QoSProfile(depth=1000, history=HistoryPolicy.KEEP_LAST)
_TF_STATIC_QOS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_SENSOR_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


class LiveRecorder:
    """
    Writes images, calibration, TF and the named topics of poses and odometry as they come.

    Raw images are stored as JPEG, which is a tenth of their size. All is called by one thread, that
    of the executor.
    """

    def __init__(
        self,
        *,
        node: Node,
        options: MapBuilderNodeOptions,
        recorded: Callable[[int], None],
    ) -> None:
        """
        Create the bag and subscribe.

        :param recorded: told how many images more are in the bag, now and then with none.
        :raises InputError: when the bag exists or cannot be written.
        """
        self.path = checked_path(options.record, 'record')
        self.images = 0
        self.problem = ''
        """Why the last image could not be used; empty while all is well."""
        self._node = node
        self._recorded = recorded
        self._period_ns = round(1e9 / options.record_rate_hz) if options.record_rate_hz else 0
        self._due_ns = 0
        self._last_info: Any = None
        self._image_topic = node.resolve_topic_name('image')
        self._info_topic = node.resolve_topic_name('camera_info')
        self._source = options.build.source
        self._raw = options.image_transport == 'raw'
        if not self.path.absolute().parent.is_dir():
            raise InputError(f'{self.path.absolute().parent}: there is no such folder; create it')
        self._bag: BagWriter | None = BagWriter(self.path)
        self._bag.__enter__()
        self._subscribe()

    @property
    def awaited(self) -> str:
        """What images are waited for on."""
        suffix = '' if self._raw else '/compressed'
        return f'none arrived on {self._image_topic}{suffix}'

    def source_options(self) -> SourceOptions:
        """Return how the bag is to be read."""
        source = self._source
        named = {name: self._resolved(getattr(source, name)) for name in _NAMED_TOPICS}
        image, info = f'{self._image_topic}/compressed', self._info_topic
        named.update(image_topic=image, camera_info_topic='' if source.camera_info_file else info)
        return source.with_values(named)

    def _resolved(self, topic: str) -> str:
        return self._node.resolve_topic_name(topic) if topic and topic != NONE else topic

    def close(self) -> None:
        """Stop listening and finish the bag."""
        if self._bag is None:
            return
        self._timer.cancel()
        self._images.destroy()
        self._infos.destroy()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        bag, self._bag = self._bag, None
        try:
            bag.__exit__(None, None, None)
        except InputError as error:  # the disk is full
            self._node.get_logger().error(str(error))

    def _subscribe(self) -> None:
        node = self._node
        self._images = ImageSubscription(
            node=node,
            kind=Image if self._raw else CompressedImage,
            topic=self._image_topic if self._raw else f'{self._image_topic}/compressed',
            callback=self._take_image,
            depth=10,
        )
        self._infos = LatchedSubscription(
            node=node, kind=CameraInfo, topic=self._info_topic, callback=self._take_info
        )
        self._subscriptions = [
            self._copy(TFMessage, '/tf', TF[0], _TF_QOS),
            self._copy(TFMessage, '/tf_static', TF[0], _TF_STATIC_QOS),
        ]
        named = {self._resolved(getattr(self._source, name)) for name in _NAMED_TOPICS}
        self._awaited = named - {'', NONE}
        self._timer = node.create_timer(_ADAPT_S, self._adapt)

    def _adapt(self) -> None:
        """Follow the publishers of images, and subscribe to named topics once their type shows."""
        self._images.adapt()
        self._infos.adapt()
        self._recorded(0)
        if not self._awaited:
            return
        for topic, kinds in self._node.get_topic_names_and_types():
            if topic in self._awaited:
                self._awaited.remove(topic)
                package, _, name = kinds[0].rpartition('/')
                kind = getattr(importlib.import_module(package.replace('/', '.')), name)
                self._subscriptions.append(self._copy(kind, topic, kinds[0], _SENSOR_QOS))

    def _copy(self, kind: Any, topic: str, kind_name: str, qos: QoSProfile) -> Any:
        """Write every message of a topic as it comes, without decoding it."""
        latched = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        # A relative name, so that a remapping of /tf holds here as it does for tf2.
        name = self._node.resolve_topic_name(topic)

        def take(data: bytes) -> None:
            if self._bag is not None:
                self._bag.write_serialized(topic, kind_name, self._now_ns(), data, latched=latched)

        return self._node.create_subscription(kind, name, take, qos, raw=True)

    def _take_image(self, message: Any) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        early = 0 <= self._due_ns - stamp_ns < self._period_ns
        if self._bag is None or early:
            return
        try:
            image = decode_image(message) if self._raw else None
        except InputError as error:
            self.problem = str(error)
            return
        self._write_image(stamp_ns, message, image)
        self.problem = ''
        # A tenth of tolerance: the stamps of a camera at this very rate jitter.
        self._due_ns = stamp_ns + self._period_ns * 9 // 10
        self.images += 1
        self._recorded(1)

    def _write_image(self, stamp_ns: int, message: Any, image: NDArray[np.uint8] | None) -> None:
        assert self._bag is not None
        topic = f'{self._image_topic}/compressed'
        if image is not None:
            frame = message.header.frame_id
            self._bag.write_image(topic, stamp_ns, frame, image, jpeg_quality=_JPEG_QUALITY)
        else:
            data = serialize_message(message)
            self._bag.write_serialized(topic, COMPRESSED_IMAGE, stamp_ns, data)

    def _take_info(self, message: CameraInfo) -> None:
        """Write a calibration when it is the first one, or another."""
        values = (
            (message.width, message.height, message.distortion_model),
            (list(message.d), list(message.k), list(message.p)),
            (message.binning_x, message.binning_y, message.roi),
        )
        if self._bag is None or values == self._last_info:
            return
        self._last_info = values
        data = serialize_message(message)
        self._bag.write_serialized(self._info_topic, CAMERA_INFO, self._now_ns(), data)

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)
