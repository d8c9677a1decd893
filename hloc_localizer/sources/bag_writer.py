"""Writes ROS 2 bags (MCAP) from plain arrays or messages; the map builder, demo and tests do."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, get_typestore

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources.bag_reader import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    ODOMETRY,
    POSE,
    TF,
)
from hloc_localizer.sources.camera_info import ros_calibration

Array = NDArray[np.float64]

_STORAGE = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}


class BagWriter:
    """
    A rosbag2 folder being written.

    Receive time of every message is its stamp. A folder that is not finished because of an
    error is removed.
    """

    def __init__(self, path: Path, *, storage: str = 'mcap', compression: str = 'none') -> None:
        """
        Prepare a bag; it is created on entering the context.

        :param storage: ``mcap`` or ``sqlite3``.
        :param compression: ``none``, ``message``, ``file``, or ``storage`` (MCAP chunks); zstd.
        :raises InputError: when the path exists.
        """
        self.path = Path(path)
        self.typestore = get_typestore(Stores.ROS2_HUMBLE)
        self._connections: dict[str, Any] = {}
        with self._errors():
            # Version 8 is the last one that the rosbag2 of Humble reads.
            self._writer = Writer(self.path, version=8, storage_plugin=_STORAGE[storage])
        self._writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)

    def __enter__(self) -> BagWriter:
        with self._errors():
            self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._writer.abort()
            shutil.rmtree(self.path, ignore_errors=True)
            return
        with self._errors():
            self._writer.close()

    def write_tf(
        self,
        stamp_ns: int,
        parent: str,
        child: str,
        parent_from_child: Array,
        static: bool = False,
    ) -> None:
        """Write one transform to ``/tf`` or, latched, to ``/tf_static``."""
        types = self._types
        position, quaternion = _components(parent_from_child)
        transform = types['geometry_msgs/msg/TransformStamped'](
            header=self.header(stamp_ns, parent),
            child_frame_id=child,
            transform=types['geometry_msgs/msg/Transform'](
                translation=types['geometry_msgs/msg/Vector3'](*position),
                rotation=types['geometry_msgs/msg/Quaternion'](*quaternion),
            ),
        )
        topic = '/tf_static' if static else '/tf'
        self.write(topic, TF[0], stamp_ns, types[TF[0]](transforms=[transform]), latched=static)

    def write_image(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        image: NDArray[np.uint8],
        *,
        jpeg_quality: int = 90,
        raw: bool = False,
    ) -> None:
        """
        Write an image, as JPEG or raw.

        :param image: (H, W) grey or (H, W, 3) RGB.
        :param raw: write ``sensor_msgs/Image`` in ``rgb8`` or ``mono8``.
        """
        header = self.header(stamp_ns, frame_id)
        if raw:
            height, width = image.shape[:2]
            message = self._types[IMAGE](
                header=header,
                height=height,
                width=width,
                encoding='mono8' if image.ndim == 2 else 'rgb8',
                is_bigendian=0,
                step=image[0].nbytes,
                data=np.ascontiguousarray(image).reshape(-1),
            )
            self.write(topic, IMAGE, stamp_ns, message)
            return
        pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
        message = self._types[COMPRESSED_IMAGE](
            header=header,
            format='mono8; jpeg compressed ' if image.ndim == 2 else 'rgb8; jpeg compressed bgr8',
            data=data.reshape(-1),
        )
        self.write(topic, COMPRESSED_IMAGE, stamp_ns, message)

    def write_camera_info(self, topic: str, stamp_ns: int, frame_id: str, camera: Camera) -> None:
        """Write the calibration of a raw image."""
        calibration = ros_calibration(camera)
        message = self._types[CAMERA_INFO](
            header=self.header(stamp_ns, frame_id),
            height=camera.height,
            width=camera.width,
            distortion_model=calibration.distortion_model,
            d=np.array(calibration.d),
            k=np.array(calibration.k),
            r=np.eye(3).reshape(-1),
            p=np.array(calibration.p),
            binning_x=0,
            binning_y=0,
            roi=self._types['sensor_msgs/msg/RegionOfInterest'](
                x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
            ),
        )
        self.write(topic, CAMERA_INFO, stamp_ns, message)

    def write_odometry(
        self, topic: str, stamp_ns: int, frame_id: str, child_frame_id: str, pose: Array
    ) -> None:
        """Write a pose (4, 4) of the child frame as ``nav_msgs/Odometry``, without velocity."""
        types = self._types
        zero = types['geometry_msgs/msg/Vector3'](0.0, 0.0, 0.0)
        message = types[ODOMETRY](
            header=self.header(stamp_ns, frame_id),
            child_frame_id=child_frame_id,
            pose=types['geometry_msgs/msg/PoseWithCovariance'](
                pose=self._pose(pose), covariance=np.zeros(36)
            ),
            twist=types['geometry_msgs/msg/TwistWithCovariance'](
                twist=types['geometry_msgs/msg/Twist'](linear=zero, angular=zero),
                covariance=np.zeros(36),
            ),
        )
        self.write(topic, ODOMETRY, stamp_ns, message)

    def write_pose(self, topic: str, stamp_ns: int, frame_id: str, pose: Array) -> None:
        """Write a pose (4, 4) as ``geometry_msgs/PoseStamped``."""
        message = self._types[POSE](header=self.header(stamp_ns, frame_id), pose=self._pose(pose))
        self.write(topic, POSE, stamp_ns, message)

    def write(
        self, topic: str, kind: str, stamp_ns: int, message: Any, *, latched: bool = False
    ) -> None:
        """
        Write any message of :attr:`typestore`.

        :param kind: its type, ``sensor_msgs/msg/Image``.
        :param latched: offer the topic transient-local, so that late players get it too.
        :raises InputError: when the disk is full or cannot be written.
        """
        data = self.typestore.serialize_cdr(message, kind)
        self.write_serialized(topic, kind, stamp_ns, data, latched=latched)

    def write_serialized(
        self,
        topic: str,
        kind: str,
        stamp_ns: int,
        data: bytes | memoryview,
        *,
        latched: bool = False,
    ) -> None:
        """Write a message as it was on the wire (CDR); otherwise like :meth:`write`."""
        with self._errors():
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(
                    topic, kind, typestore=self.typestore, offered_qos_profiles=[_qos(latched)]
                )
            self._writer.write(self._connections[topic], stamp_ns, data)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """Return a ``std_msgs/Header``."""
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        stamp = self._types['builtin_interfaces/msg/Time'](sec=seconds, nanosec=nanoseconds)
        return self._types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)

    @property
    def _types(self) -> Any:
        return self.typestore.types

    def _pose(self, pose: Array) -> Any:
        position, quaternion = _components(pose)
        return self._types['geometry_msgs/msg/Pose'](
            position=self._types['geometry_msgs/msg/Point'](*position),
            orientation=self._types['geometry_msgs/msg/Quaternion'](*quaternion),
        )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except WriterError as error:
            raise InputError(f'{self.path}: bag cannot be written: {error}') from error
        except OSError as error:
            raise InputError(f'{self.path}: bag cannot be written: {error.strerror}') from error


def _components(pose: Array) -> tuple[list[float], list[float]]:
    pose = np.asarray(pose, np.float64)
    return pose[:3, 3].tolist(), transforms.quaternion_from_rotation(pose[:3, :3]).tolist()


def _qos(latched: bool) -> Qos:
    forever = QosTime(0, 0)
    return Qos(
        QosHistory.KEEP_LAST,
        10,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
