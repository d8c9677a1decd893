"""Which way is up, from the accelerometer and the gyroscope of a bag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.sources import messages
from hloc_localizer.sources.bag_reader import IMU, BagReader
from hloc_localizer.sources.options import NONE, SourceOptions
from hloc_localizer.sources.tf_tree import TfError, TfTree

Array = NDArray[np.float64]

_WINDOW_NS = 1_000_000_000
"""Half of the time over which accelerations are averaged."""
_MIN_SAMPLES = 10
_MIN_SPAN_NS = 100_000_000
_PLAUSIBLE = (7.0, 12.0)
"""Length of an average that can be gravity, m/s^2."""
_MIN_VALUES = 1e-6
_GYRO_STEP_NS = 10_000_000
"""Rotation is integrated no finer than this: 100 Hz follow every hand and vehicle."""


@dataclass
class _Samples:
    stamps: list[int] = field(default_factory=list)
    values: list[tuple[float, float, float]] = field(default_factory=list)
    frame: str = ''

    def add(self, stamp_ns: int, frame: str, vector: object) -> None:
        x, y, z = (float(getattr(vector, axis)) for axis in 'xyz')
        if np.isfinite(x + y + z) and abs(x) + abs(y) + abs(z) > _MIN_VALUES:
            self.stamps.append(stamp_ns)
            self.values.append((x, y, z))
            self.frame = frame

    def sorted(self) -> tuple[NDArray[np.int64], Array]:
        stamps = np.array(self.stamps, np.int64)
        order = np.argsort(stamps, kind='stable')
        return stamps[order], np.array(self.values, np.float64).reshape(-1, 3)[order]


class Gravity:
    """
    The direction against gravity over time, in the frame of the accelerometer.

    At rest an accelerometer measures the force that holds it up. On the move, what it measures is
    turned by the gyroscope into its attitude at one moment and averaged over two seconds around
    it, in which the accelerations of walking and driving mostly cancel.
    """

    def __init__(
        self,
        accelerations: tuple[NDArray[np.int64], Array],
        rates: tuple[NDArray[np.int64], Array],
        frame: str,
    ) -> None:
        """
        Take the samples of a whole recording.

        :param accelerations: stamps (N,) ns and specific force (N, 3) m/s^2, by stamp.
        :param rates: stamps (M,) ns and angular velocity (M, 3) rad/s in the same axes; M may be 0.
        :param frame: TF frame of the accelerometer.
        """
        self._stamps, self._forces = accelerations
        self._rate_stamps, self._rates = rates
        self.frame = frame

    def up_at(self, stamp_ns: int) -> Array | None:
        """Return the unit vector (3,) against gravity, None where there are too few samples."""
        # Without a gyroscope, only what was measured in nearly the same attitude is comparable.
        half = _WINDOW_NS if len(self._rates) else _WINDOW_NS // 10
        begin, end = np.searchsorted(self._stamps, [stamp_ns - half, stamp_ns + half])
        stamps, forces = self._stamps[begin:end], self._forces[begin:end]
        if len(stamps) < _MIN_SAMPLES or stamps[-1] - stamps[0] < _MIN_SPAN_NS:
            return None
        if not stamps[0] <= stamp_ns <= stamps[-1]:
            return None
        turned = np.einsum('nij,nj->ni', self._attitudes(stamp_ns, stamps), forces)
        mean = _robust_mean(turned)
        length = float(np.linalg.norm(mean))
        return mean / length if _PLAUSIBLE[0] < length < _PLAUSIBLE[1] else None

    def _attitudes(self, stamp_ns: int, stamps: NDArray[np.int64]) -> Array:
        """Return the rotations (N, 3, 3) from the attitude at each stamp into that at one."""
        begin, end = np.searchsorted(self._rate_stamps, [stamps[0], stamps[-1]])
        if end - begin < 2:
            return np.broadcast_to(np.eye(3), (len(stamps), 3, 3))
        ticks = np.arange(stamps[0], stamps[-1] + _GYRO_STEP_NS, _GYRO_STEP_NS)
        middles = ticks[:-1] + _GYRO_STEP_NS // 2
        rates = np.column_stack(
            [
                np.interp(middles, self._rate_stamps[begin:end], self._rates[begin:end, axis])
                for axis in range(3)
            ]
        )
        steps = transforms.rotation_from_rotvec(rates * (_GYRO_STEP_NS / 1e9))
        attitudes = [np.eye(3)]
        for step in steps:
            attitudes.append(attitudes[-1] @ step)
        whole = np.stack(attitudes)
        at = (np.append(stamps, stamp_ns) - stamps[0] + _GYRO_STEP_NS // 2) // _GYRO_STEP_NS
        chosen = whole[np.minimum(at, len(whole) - 1)]
        return np.asarray(chosen[-1].T @ chosen[:-1])


def _robust_mean(vectors: Array) -> Array:
    """Return the mean without the tenth that is furthest from the median: bumps."""
    distance = np.linalg.norm(vectors - np.median(vectors, axis=0), axis=1)
    return np.asarray(vectors[distance <= np.quantile(distance, 0.9)].mean(axis=0))


def read_gravity(
    bag: BagReader, tree: TfTree, camera_frames: Sequence[str], options: SourceOptions
) -> tuple[Gravity | None, str]:
    """
    Read the inertial measurements of a bag.

    Accelerations and rates may come on one topic or on two.

    :param camera_frames: frames in which the direction will be asked for.
    :returns: the directions, and why there are none although the bag has such a topic (or empty).
    :raises InputError: when a topic that the options name cannot serve.
    """
    if options.imu_topic == NONE:
        return None, ''
    named = [name.strip() for name in options.imu_topic.split(',') if name.strip()]
    topics = [bag.require(name, (IMU,), 'imu_topic').name for name in named]
    topics = topics or [topic.name for topic in bag.topics_of(IMU)]
    forces: dict[str, _Samples] = {}
    rates: dict[str, _Samples] = {}
    for topic, received_ns, message in bag.messages(topics) if topics else ():
        stamp_ns = messages.stamp_ns(message.header.stamp) or received_ns
        frame = messages.frame_id(message.header.frame_id)
        forces.setdefault(topic, _Samples()).add(stamp_ns, frame, message.linear_acceleration)
        rates.setdefault(topic, _Samples()).add(stamp_ns, frame, message.angular_velocity)
    with_force = [topic for topic, samples in forces.items() if samples.stamps]
    if len(with_force) != 1:
        if not with_force:
            return None, ''
        problem = f'several topics: {", ".join(with_force)}; choose one with --set source.imu_topic'
        return _none(problem, required=bool(named))
    chosen = forces[with_force[0]]
    problem = _not_mounted(tree, camera_frames, chosen.frame)
    if problem:
        return _none(problem, required=bool(named))
    rate = rates[with_force[0]]
    others = [samples for samples in rates.values() if samples.stamps]
    if not rate.stamps and len(others) == 1:
        rate = others[0]
    return Gravity(chosen.sorted(), _rates_in(rate, chosen.frame, tree), chosen.frame), ''


def _none(problem: str, *, required: bool) -> tuple[None, str]:
    problem = f'the IMU is not read: {problem}'
    if required:
        raise InputError(problem)
    return None, problem


def _not_mounted(tree: TfTree, camera_frames: Sequence[str], frame: str) -> str:
    for camera_frame in camera_frames:
        try:
            tree.lookup(camera_frame, frame, 0)
        except TfError as error:
            return f'{error}; record /tf_static'
    return ''


def _rates_in(rates: _Samples, frame: str, tree: TfTree) -> tuple[NDArray[np.int64], Array]:
    """Return angular velocities in the axes of another frame; none where that is not known."""
    stamps, values = rates.sorted()
    if len(stamps) and rates.frame != frame:
        try:
            values = values @ tree.lookup(frame, rates.frame, 0)[:3, :3].T
        except TfError:
            return stamps[:0], values[:0]
    return stamps, values
