"""
Measure what solving several frames together brings, on a walk that is refused frame by frame.

``python -m benchmarks window [--data DIR] [--map MAP]``: the bag ``revisit`` of the lounge, frame
by frame, and with the frames before each tied by the odometry of the bag, with its drift.
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
from hloc_localizer.evaluation import References
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization import (
    JointLocalizer,
    Localizer,
    Moment,
    MountedObservation,
    Window,
)
from hloc_localizer.maps import Map
from hloc_localizer.sources import SourceOptions, open_source

_THRESHOLDS = ((0.05, 5.0), (0.25, 2.0), (0.5, 5.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Localize, print; status 1 for a false fix."""
    parser = argparse.ArgumentParser(prog='benchmarks window')
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, help='a map of the bag `map`, instead of building one')
    given = parser.parse_args(arguments)
    bags = recordings(given, 'lounge')
    if bags is None:
        return 2
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        path = given.map or build_lounge(bags, Path(folder) / 'lounge')
        alone, together, milliseconds = _localize(Map.load(path), bags)
    print('| `revisit` | localized | ' + ' | '.join(f'{m} m, {d:.0f} deg' for m, d in _THRESHOLDS)
          + ' | false fixes |')  # fmt: skip
    print('|---' * (len(_THRESHOLDS) + 3) + '|')
    false = [_row(name, errors) for name, errors in (('alone', alone), ('window', together))]
    print(
        f'\nSolving the window: median {np.median(milliseconds):.0f} ms a frame, beside matching.'
    )
    return 1 if sum(false) else 0


def _localize(
    loaded: Map, bags: Path
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]], list[float]]:
    """Return the errors (metres, degrees) of both ways, infinite where refused, and the times."""
    localizer = Localizer(loaded)
    joint, window = JointLocalizer(localizer), Window(localizer.options.window)
    source = open_source(bags / 'revisit', SourceOptions(poses='none'))
    references = References.read(bags / 'revisit.camera.tum')
    alone, together, milliseconds = [], [], []
    for frame in source.frames():
        truth = references.find(frame)
        assert truth is not None
        assert frame.odom_from_camera is not None
        single, observation = localizer.observe(frame.image, source.cameras[frame.camera_name])
        mounted = (MountedObservation(observation),) if observation else ()
        window.add(Moment(frame.stamp_ns, frame.odom_from_camera, mounted))
        begin = time.perf_counter()
        result = joint.localize(window)
        milliseconds.append((time.perf_counter() - begin) * 1e3)
        alone.append(_error(single.map_from_camera, truth))
        together.append(_error(result.map_from_rig, truth))
    return alone, together, milliseconds


def _error(pose: NDArray[np.float64] | None, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    if pose is None:
        return np.array([np.inf, np.inf])
    distance, angle = pose_distance(pose, truth)
    return np.array([float(distance), float(np.degrees(angle))])


def _row(name: str, errors: Sequence[NDArray[np.float64]]) -> int:
    distance, angle = np.array(errors).T
    localized = np.isfinite(distance)
    shares = [((distance <= m) & (angle <= d)).mean() * 100 for m, d in _THRESHOLDS]
    false = int((localized & ((distance > 0.5) | (angle > 10.0))).sum())
    shown = ' | '.join(f'{share:.1f} %' for share in shares)
    print(f'| {name} | {localized.sum()} of {len(errors)} | {shown} | {false} |')
    return false


if __name__ == '__main__':
    sys.exit(main())
