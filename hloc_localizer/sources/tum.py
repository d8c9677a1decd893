"""Trajectories as TUM text: ``stamp tx ty tz qx qy qz qw``, stamps exact to the nanosecond."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.trajectory import Trajectory

_LONGEST_LINE = 4096


def read_tum(path: Path) -> Trajectory:
    """
    Read a TUM file; lines are sorted by stamp, of equal stamps the last one counts.

    :raises InputError: naming the file and the line for anything that is not a pose.
    """
    poses: dict[int, list[float]] = {}
    for number, words in read_words(path):
        if len(words) != 8:
            raise InputError(f'{path}:{number}: expected "stamp tx ty tz qx qy qz qw"')
        poses[_stamp_ns(words[0], path, number)] = _numbers(words[1:], path, number)
    if not poses:
        raise InputError(f'{path}: no poses; expected lines "stamp tx ty tz qx qy qz qw"')
    stamps = sorted(poses)
    values = np.array([poses[stamp] for stamp in stamps])
    matrices = transforms.transform_from(
        transforms.rotation_from_quaternion(values[:, 3:]), values[:, :3]
    )
    return Trajectory(np.array(stamps, np.int64), matrices)


def write_tum(path: Path, trajectory: Trajectory) -> None:
    """
    Write a trajectory as a TUM file.

    :raises InputError: when the file cannot be written.
    """
    quaternions = transforms.quaternion_from_rotation(trajectory.poses[:, :3, :3])
    lines = ['# timestamp tx ty tz qx qy qz qw\n']
    for stamp, pose, quaternion in zip(
        trajectory.stamps_ns.tolist(), trajectory.poses, quaternions, strict=True
    ):
        numbers = ' '.join(f'{value:.9f}' for value in (*pose[:3, 3], *quaternion))
        lines.append(f'{stamp_text(stamp)} {numbers}\n')
    try:
        path.write_text(''.join(lines), encoding='ascii')
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error.strerror}') from error


def read_poses_by_image(path: Path) -> dict[str, np.ndarray]:
    """
    Read lines ``image tx ty tz qx qy qz qw``.

    :returns: (4, 4) ``map_from_camera`` by image name.
    :raises InputError: naming the file and the line for anything that is not a pose.
    """
    poses = {}
    for number, words in read_words(path):
        if len(words) != 8:
            raise InputError(f'{path}:{number}: expected "image tx ty tz qx qy qz qw"')
        values = _numbers(words[1:], path, number)
        rotation = transforms.rotation_from_quaternion(values[3:])
        poses[words[0]] = transforms.transform_from(rotation, values[:3])
    if not poses:
        raise InputError(f'{path}: no poses; expected lines "image tx ty tz qx qy qz qw"')
    return poses


def read_words(path: Path) -> Iterator[tuple[int, list[str]]]:
    """
    Yield number and words of every line that is not empty or a comment.

    :raises InputError: when the file cannot be read as text.
    """
    try:
        with path.open(encoding='utf-8') as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ''), 1):
                words = line.partition('#')[0].replace(',', ' ').split()
                if words:
                    yield number, words
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: not a text file') from error


def stamp_text(stamp_ns: int) -> str:
    """Return a stamp in seconds with all nine digits."""
    sign = '-' if stamp_ns < 0 else ''
    seconds, nanoseconds = divmod(abs(stamp_ns), 1_000_000_000)
    return f'{sign}{seconds}.{nanoseconds:09d}'


def _stamp_ns(word: str, path: Path, number: int) -> int:
    # A double holds a present-day stamp to 0.2 microseconds only; decimals hold it exactly.
    try:
        stamp = Decimal(word)
        if not stamp.is_finite() or abs(stamp) > Decimal('9e9'):
            raise InvalidOperation
    except InvalidOperation as error:
        raise InputError(f"{path}:{number}: '{word}' is not a stamp in seconds") from error
    return int((stamp * 1_000_000_000).to_integral_value())


def _numbers(words: list[str], path: Path, number: int) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise InputError(f'{path}:{number}: {error}') from error
    if not np.isfinite(values).all():
        raise InputError(f'{path}:{number}: a value is not finite')
    if np.linalg.norm(values[3:]) < 1e-6:
        raise InputError(f'{path}:{number}: the quaternion has no direction')
    return values
