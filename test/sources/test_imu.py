"""Gravity from inertial measurements: at rest, turning, walking, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags import BASE_FROM_CAMERA, SECOND, START, write_images, write_transforms

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.bag_writer import BagWriter
from hloc_localizer.sources.imu import Gravity

G = 9.81


def degrees_between(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(first @ second, -1.0, 1.0))))


def walk(rate_hz: float = 200.0, seconds: float = 6.0) -> tuple[np.ndarray, ...]:
    """Return stamps, forces, rates and true ups of an IMU that is swung about and carried."""
    generator = np.random.default_rng(1)
    stamps = (np.arange(0.0, seconds, 1.0 / rate_hz) * 1e9).astype(np.int64)
    t = stamps / 1e9
    rates = np.column_stack([0.8 * np.sin(1.3 * t), 0.5 * np.cos(2.1 * t), 0.9 * np.sin(0.7 * t)])
    attitude = transforms.rotation_from_rotvec([0.3, -0.2, 0.5])
    world_from_imu = []
    for rate in rates:
        world_from_imu.append(attitude)
        attitude = attitude @ transforms.rotation_from_rotvec(rate / rate_hz)
    turns = np.stack(world_from_imu)
    # Two steps a second, of which each shakes by 3 m/s^2 up and 1.5 m/s^2 forward.
    shaken = np.column_stack(
        [1.5 * np.sin(4 * np.pi * t), 0.5 * np.sin(2 * np.pi * t), G + 3 * np.cos(4 * np.pi * t)]
    )
    forces = np.einsum('nji,nj->ni', turns, shaken) + generator.normal(0.0, 0.1, (len(t), 3))
    return stamps, forces, rates + generator.normal(0.0, 0.01, rates.shape), turns[:, 2, :]


def test_gravity_of_a_walk_with_a_gyroscope() -> None:
    stamps, forces, rates, ups = walk()
    gravity = Gravity((stamps, forces), (stamps, rates), 'imu')
    errors = [
        degrees_between(gravity.up_at(int(stamps[at])), ups[at]) for at in range(0, len(stamps), 40)
    ]
    assert np.median(errors) < 1.0
    assert max(errors) < 6.0  # at the ends half of the window is missing


def test_gravity_at_rest_needs_no_gyroscope() -> None:
    stamps = np.arange(0, SECOND, SECOND // 100)
    up = np.array([0.0, -0.6, 0.8])
    none = np.zeros(0, np.int64), np.zeros((0, 3))
    gravity = Gravity((stamps, np.tile(G * up, (len(stamps), 1))), none, 'imu')
    assert degrees_between(gravity.up_at(SECOND // 2), up) < 1e-4
    assert gravity.up_at(2 * SECOND) is None
    assert gravity.up_at(-SECOND) is None


def test_what_is_not_gravity_is_not_taken_for_it() -> None:
    stamps = np.arange(0, SECOND, SECOND // 100)
    none = np.zeros(0, np.int64), np.zeros((0, 3))
    falling = Gravity((stamps, np.full((len(stamps), 3), 0.5)), none, 'imu')
    assert falling.up_at(SECOND // 2) is None


def write_imu(bag: BagWriter, topic: str, frame: str, force: list[float]) -> None:
    types = bag.typestore.types
    vector = types['geometry_msgs/msg/Vector3']
    for number in range(250):
        stamp = START + number * SECOND // 100
        message = types['sensor_msgs/msg/Imu'](
            header=bag.header(stamp, frame),
            orientation=types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0),
            orientation_covariance=np.zeros(9),
            angular_velocity=vector(0.0, 0.0, 0.2),
            angular_velocity_covariance=np.zeros(9),
            linear_acceleration=vector(*force),
            linear_acceleration_covariance=np.zeros(9),
        )
        bag.write(topic, 'sensor_msgs/msg/Imu', stamp, message)


def write_bag(path: Path, *, frame: str = 'base_link', topics: tuple[str, ...] = ('/imu',)) -> Path:
    with BagWriter(path) as bag:
        write_transforms(bag, mapped=False)
        write_images(bag)
        for topic in topics:
            write_imu(bag, topic, frame, [0.0, 0.0, G])
    return path


def ups_of(path: Path, **values: Any) -> list[np.ndarray | None]:
    return [frame.up_in_camera for frame in open_source(path, SourceOptions(**values)).frames()]


def test_up_comes_in_the_frame_of_the_camera(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag')
    ups = ups_of(path)
    expected = BASE_FROM_CAMERA[2, :3]  # z of the level base, in the camera
    assert degrees_between(expected, np.array([0.0, -1.0, 0.0])) < 1e-6
    assert all(up is not None and degrees_between(up, expected) < 0.01 for up in ups)
    assert ups_of(path, imu_topic='none') == [None] * 10


def test_an_imu_that_tf_does_not_know(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', frame='imu_link')
    source = open_source(path)
    assert all(frame.up_in_camera is None for frame in source.frames())
    assert any("the IMU is not read: TF has no frame 'imu_link'" in note for note in source.notes)
    with pytest.raises(InputError, match="the IMU is not read: TF has no frame 'imu_link'"):
        open_source(path, SourceOptions(imu_topic='/imu'))


def test_several_imus_are_named(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', topics=('/imu/data', '/imu/raw'))
    source = open_source(path)
    list(source.frames())
    assert (
        'the IMU is not read: several topics: /imu/data, /imu/raw; choose one with --set'
        in (source.notes[0])
    )
    assert ups_of(path, imu_topic='/imu/raw')[0] is not None


def test_the_t265_tells_accelerations_and_rates_on_two_topics(shared_data: Path) -> None:
    source = open_source(
        shared_data / 'data/bags/t265_ros1.bag',
        SourceOptions(image_topic='/camera/fisheye1/image_raw'),
    )
    list(source.frames())
    assert source.notes == (
        "the IMU is not read: TF has no frame 'camera_fisheye1_optical_frame'; frames: none; "
        'record /tf_static',
    )
