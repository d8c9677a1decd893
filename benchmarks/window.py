"""
Measure what solving several frames together brings, on a walk that is refused frame by frame.

``python -m benchmarks window [--data DIR] [--map MAP]``: the bag ``revisit`` of the lounge, frame
by frame, and with the frames before each tied by the odometry of the bag, with its drift. With
``--lengths 2 3 6`` also windows of so many frames, begun at each of them, and how honest they are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.recordings import add_data_argument, build_lounge, recordings
from benchmarks.targets import at_most, finish
from hloc_localizer.evaluation import References
from hloc_localizer.geometry.covariance import pose_error, squared_mahalanobis
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization import (
    JointLocalizer,
    Localizer,
    Moment,
    MountedObservation,
    Window,
)
from hloc_localizer.localization.inflation import CHI_SQUARED
from hloc_localizer.maps import Map
from hloc_localizer.sources import SourceOptions, open_source

Array = NDArray[np.float64]

_THRESHOLDS = ((0.05, 5.0), (0.25, 2.0), (0.5, 5.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Localize, print; status 1 for a false fix."""
    parser = argparse.ArgumentParser(prog='benchmarks window')
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, help='a map of the bag `map`, instead of building one')
    parser.add_argument('--lengths', type=int, nargs='*', default=[], metavar='FRAMES',
                        help='windows whose covariance is compared with their errors')  # fmt: skip
    given = parser.parse_args(arguments)
    bags = recordings(given, 'lounge')
    if bags is None:
        return 2
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        path = given.map or build_lounge(bags, Path(folder) / 'lounge')
        localizer = Localizer(Map.load(path))
        seen, alone = _observe(localizer, bags)
        together, milliseconds = _together(localizer, seen)
        honesty = [_honesty(localizer, seen, length) for length in given.lengths]
    print('| `revisit` | localized | ' + ' | '.join(f'{m} m, {d:.0f} deg' for m, d in _THRESHOLDS)
          + ' | false fixes |')  # fmt: skip
    print('|---' * (len(_THRESHOLDS) + 3) + '|')
    false = [_row(name, errors) for name, errors in (('alone', alone), ('window', together))]
    print(
        f'\nSolving the window: median {np.median(milliseconds):.0f} ms a frame, beside matching.'
    )
    if honesty:
        print(
            '\n| frames | poses | mean NEES | inside the 95 % ellipsoid | median, largest error |'
        )
        print('|---|---|---|---|---|\n' + '\n'.join(honesty))
    print()
    return finish([at_most('false fixes', sum(false), 0, 'd')])


def _observe(localizer: Localizer, bags: Path) -> tuple[list[tuple[Moment, Array]], list[Array]]:
    """Return each moment with its true pose, and the errors of the frames alone."""
    source = open_source(bags / 'revisit', SourceOptions(poses='none'))
    references = References.read(bags / 'revisit.camera.tum')
    seen, alone = [], []
    for frame in source.frames():
        truth = references.find(frame)
        assert truth is not None
        assert frame.odom_from_camera is not None
        single, observation = localizer.observe(frame.image, source.cameras[frame.camera_name])
        mounted = (MountedObservation(observation),) if observation else ()
        seen.append((Moment(frame.stamp_ns, frame.odom_from_camera, mounted), truth))
        alone.append(_error(single.map_from_camera, truth))
    return seen, alone


def _together(
    localizer: Localizer, seen: Sequence[tuple[Moment, Array]]
) -> tuple[list[Array], list[float]]:
    """Return the errors (metres, degrees) of the growing window, and the times."""
    joint, window = JointLocalizer(localizer), Window(localizer.options.window)
    together, milliseconds = [], []
    for moment, truth in seen:
        window.add(moment)
        begin = time.perf_counter()
        result = joint.localize(window)
        milliseconds.append((time.perf_counter() - begin) * 1e3)
        together.append(_error(result.map_from_rig, truth))
    return together, milliseconds


def _honesty(localizer: Localizer, seen: Sequence[tuple[Moment, Array]], length: int) -> str:
    """Return the row of a table: windows of some frames, begun at each frame."""
    joint = JointLocalizer(localizer)
    nees, degrees = [], []
    for begin in range(len(seen) - length + 1):
        window = Window(localizer.options.window)
        for moment, _ in seen[begin : begin + length]:
            window.add(moment)
        result, truth = joint.localize(window), seen[begin + length - 1][1]
        if result.map_from_rig is not None and result.covariance is not None:
            error = pose_error(result.map_from_rig, truth)
            nees.append(squared_mahalanobis(error, result.covariance))
            degrees.append(_error(result.map_from_rig, truth)[1])
    inside = 100 * np.mean(np.array(nees) <= CHI_SQUARED)
    return (f'| {length} | {len(nees)} | {np.mean(nees):.1f} | {inside:.0f} % | '
            f'{np.median(degrees):.2f} deg, {max(degrees):.1f} deg |')  # fmt: skip


def _error(pose: Array | None, truth: Array) -> Array:
    if pose is None:
        return np.array([np.inf, np.inf])
    distance, angle = pose_distance(pose, truth)
    return np.array([float(distance), float(np.degrees(angle))])


def _row(name: str, errors: Sequence[Array]) -> int:
    distance, angle = np.array(errors).T
    localized = np.isfinite(distance)
    shares = [((distance <= m) & (angle <= d)).mean() * 100 for m, d in _THRESHOLDS]
    false = int((localized & ((distance > 0.5) | (angle > 10.0))).sum())
    shown = ' | '.join(f'{share:.1f} %' for share in shares)
    print(f'| {name} | {localized.sum()} of {len(errors)} | {shown} | {false} |')
    return false


if __name__ == '__main__':
    sys.exit(main())
