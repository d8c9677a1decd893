"""Small bags for the tests, written message by message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import Frame, SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
CAMERA = Camera('OPENCV', 64, 48, (50.0, 51.0, 31.0, 23.0, 0.1, -0.02, 0.001, 0.002))
BASE_FROM_CAMERA = transforms.transform_from(
    transforms.rotation_from_quaternion([0.5, -0.5, 0.5, -0.5]), [0.1, 0.0, 0.3]
)
IMAGE_TOPIC = '/camera/image_raw/compressed'
INFO_TOPIC = '/camera/camera_info'


def picture(number: int) -> np.ndarray:
    """Return a grey-levelled RGB image that tells its number."""
    return np.full((CAMERA.height, CAMERA.width, 3), 5 * number, np.uint8)


def odom_from_base(seconds: float) -> np.ndarray:
    """Return the drive of all these bags: 1 m/s forward, 0.2 rad/s to the left."""
    return transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, 0.0, 0.2 * seconds]), [seconds, 0.0, 0.0]
    )


MAP_FROM_ODOM = transforms.transform_from(
    transforms.rotation_from_rotvec([0.0, 0.0, 1.0]), [10.0, -5.0, 0.0]
)


def map_from_camera(seconds: float) -> np.ndarray:
    """Return where the camera of all these bags is."""
    return MAP_FROM_ODOM @ odom_from_base(seconds) @ BASE_FROM_CAMERA


def write_images(bag: BagWriter, count: int = 10, *, raw: bool = False, info: bool = True) -> None:
    """Write images at 5 Hz, between the transforms, with calibration."""
    for number in range(count):
        stamp = START + SECOND // 100 + number * SECOND // 5
        topic = '/camera/image_raw' if raw else IMAGE_TOPIC
        bag.write_image(topic, stamp, 'camera', picture(number), raw=raw)
        if info:
            bag.write_camera_info(INFO_TOPIC, stamp, 'camera', CAMERA)


def write_transforms(
    bag: BagWriter, *, mapped: bool = True, without: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Write TF at 20 Hz for 2.5 s, but odom -> base not between two times in seconds."""
    bag.write_tf(START, 'base_link', 'camera', BASE_FROM_CAMERA, static=True)
    for tick in range(51):
        seconds = tick / 20
        stamp = START + round(seconds * SECOND)
        if not without[0] < seconds < without[1]:
            bag.write_tf(stamp, 'odom', 'base_link', odom_from_base(seconds))
        if mapped:
            bag.write_tf(stamp, 'map', 'odom', MAP_FROM_ODOM)


def write_bag(path: Path, *, storage: str = 'mcap', compression: str = 'none') -> Path:
    """Write a bag that has everything: images, calibration, TF up to the map."""
    with BagWriter(path, storage=storage, compression=compression) as bag:
        write_transforms(bag)
        write_images(bag)
    return path


def frames_of(path: Path, **values: Any) -> list[Frame]:
    """Read a bag to its end."""
    return list(open_source(path, SourceOptions(**values)).frames())


def message_of(path: Path, **values: Any) -> str:
    """Read a bag to its end and return the one line of its error."""
    with pytest.raises(InputError) as caught:
        list(open_source(path, SourceOptions(**values)).frames())
    assert '\n' not in str(caught.value)
    return str(caught.value)
