"""
Measure tracking on the recorded lounge, and on 2000 images of other places; print tables.

    python -m benchmarks tracking                    # builds a sift map of the lounge
    python -m benchmarks tracking --map MAP          # with a map of the bag `map` that is there
    python -m benchmarks tracking --map MAP --learned    # judged by the targets of a learned one

Every number is measured in this run, in this process; the node adds decoding and transport.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.recordings import add_data_argument, build_lounge, recordings
from benchmarks.targets import (
    HONEST_INSIDE,
    HONEST_NEES,
    Row,
    add_json_argument,
    at_least,
    at_most,
    between,
    finish,
)
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.evaluation import Evaluation, References
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.evaluation.run import evaluate_source
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import pose_error
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.inflation import CHI_SQUARED
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.tracking import TrackingLocalizer, TrackingOptions
from hloc_localizer.localization.tracking.estimate import motion_noise
from hloc_localizer.maps import Map
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.frame import Frame

STEP_NS = 200_000_000
SPANS = (1, 5, 20, 40)
"""Frames between two poses that the odometry is compared over."""


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; status 1 when a target is missed."""
    arguments = _arguments(given)
    data = recordings(arguments)
    if data is None:
        return 2
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        path = arguments.map or build_lounge(data / 'lounge', Path(folder) / 'map')
        loaded = Map.load(path)
        localizer = Localizer(loaded, LocalizerOptions().with_assignments(arguments.set))
        options = TrackingOptions().with_assignments(arguments.tracking)
        measured = _measure(localizer, options, data, arguments.others)
    found = list(_rows(measured, learned=arguments.learned))
    drift = _drift_table(measured['drift'])
    return finish(found, drift, measured=measured, output=arguments.json)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks tracking',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, metavar='MAP', help='measure this one, build none')
    parser.add_argument('--learned', action='store_true', help='the map has a learned front end')
    parser.add_argument('--others', type=int, default=2000, help='images of other places')
    add_json_argument(parser)
    parser.add_argument('--set', nargs='+', default=[], metavar='NAME=VALUE',
                        help='options of the localizer')  # fmt: skip
    parser.add_argument('--tracking', nargs='+', default=[], metavar='NAME=VALUE',
                        help='options of the tracker')  # fmt: skip
    return parser.parse_args(given)


def _measure(
    localizer: Localizer, options: TrackingOptions, data: Path, others: int
) -> dict[str, Any]:
    measured: dict[str, Any] = {'map_bytes': localizer.map.compiled_bytes, 'drift': {}}
    for bag in ('query', 'revisit'):
        source = open_source(data / 'lounge' / bag, SourceOptions(poses='none'))
        references = References.read(data / 'lounge' / f'{bag}.camera.tum')
        frames = list(source.frames())
        with command_progress() as progress:
            evaluation = evaluate_source(
                TrackingLocalizer(localizer, options), source, references, 0, progress
            )
        measured[bag] = evaluation.as_dict()
        measured[bag]['largest_step'] = _largest_step(evaluation, frames)
        measured[bag]['inside_95'] = float(np.mean(evaluation.nees[:, 2] <= CHI_SQUARED))
        measured['drift'][bag] = _drift(frames, references, options)
    measured['begun_anywhere'] = _begun_anywhere(localizer, options, frames, references, source)
    camera = next(iter(source.cameras.values()))
    measured['others'] = _others(localizer, options, data, camera, frames, others)
    return measured


def _largest_step(evaluation: Evaluation, frames: list[Frame]) -> tuple[float, float]:
    """Return by how much ``map -> odom`` moved at most between two frames that were localized."""
    steps = [(0.0, 0.0)]
    before: NDArray[np.float64] | None = None
    for one, frame in zip(evaluation.frames, frames, strict=True):
        pose = one.localization.map_from_camera
        if one.state != 'localized' or pose is None or frame.odom_from_camera is None:
            before = None
            continue
        correction = pose @ transforms.invert(frame.odom_from_camera)
        if before is not None:
            # At the camera, not at the origin of odometry, which may be far away.
            moved = before @ frame.odom_from_camera
            metres, radians = transforms.pose_distance(moved, pose)
            steps.append((float(metres), float(np.degrees(radians))))
        before = correction
    metres, degrees = zip(*steps, strict=True)
    return max(metres), max(degrees)


def _drift(
    frames: list[Frame], references: References, options: TrackingOptions
) -> dict[str, dict[str, float]]:
    """Compare the errors of the odometry with what the drift model expects of them."""
    found = {}
    for span in SPANS:
        errors, scaled = [], []
        for first in range(len(frames) - span):
            error, variance = _drift_between(frames[first : first + span + 1], references, options)
            errors.append((np.linalg.norm(error[:3]), np.degrees(np.linalg.norm(error[3:]))))
            scaled.append(error**2 / variance)
        metres, degrees = np.array(errors).T
        found[str(span)] = {
            'median_m': float(np.median(metres)),
            'median_deg': float(np.median(degrees)),
            'max_m': float(metres.max()),
            'max_deg': float(degrees.max()),
            'position_share_of_variance': float(np.mean(np.array(scaled)[:, :3])),
            'rotation_share_of_variance': float(np.mean(np.array(scaled)[:, 3:])),
        }
    return found


def _drift_between(
    frames: list[Frame], references: References, options: TrackingOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the error (6,) of the odometry over some frames, and the variances (6,) expected."""
    first, last = frames[0], frames[-1]
    true = transforms.invert(_true(first, references)) @ _true(last, references)
    told = transforms.invert(_odom(first)) @ _odom(last)
    variance = np.zeros(6)
    for before, after in itertools.pairwise(frames):
        motion = transforms.invert(_odom(before)) @ _odom(after)
        seconds = (after.stamp_ns - before.stamp_ns) * 1e-9
        noise = motion_noise(motion, seconds, options.drift)
        lever = np.linalg.norm(_odom(after)[:3, 3] - _odom(last)[:3, 3])
        variance += noise
        # Of an error of rotation the part across the lever moves the end.
        variance[:3] += noise[3:] * lever**2 * 2.0 / 3.0
    return pose_error(told, true), variance


def _true(frame: Frame, references: References) -> NDArray[np.float64]:
    pose = references.find(frame)
    assert pose is not None
    return pose


def _odom(frame: Frame) -> NDArray[np.float64]:
    assert frame.odom_from_camera is not None
    return frame.odom_from_camera


def _begun_anywhere(
    localizer: Localizer,
    options: TrackingOptions,
    frames: list[Frame],
    references: References,
    source: Any,
) -> dict[str, Any]:
    """Follow the revisit from every sixth frame on: a good start is no matter of luck."""
    camera = next(iter(source.cameras.values()))
    posed = near = false = 0
    waited = []
    for begin in range(0, len(frames) - 10, 6):
        stream, started = TrackingLocalizer(localizer, options), False
        waited.append(0)
        for frame in frames[begin:]:
            tracked = stream.localize(
                frame.image, camera, frame.stamp_ns, odom_from_body=frame.odom_from_camera
            )
            started = started or tracked.camera is not None
            posed += started
            waited[-1] += not started
            if tracked.camera is not None:
                pose = tracked.camera.map_from_body
                metres, radians = transforms.pose_distance(pose, _true(frame, references))
                degrees = np.degrees(radians)
                near += bool(metres <= 0.25 and degrees <= 2.0)
                false += bool(metres > FALSE_FIX_M or degrees > FALSE_FIX_DEG)
    return {'frames': posed, 'near': near, 'false': false, 'waited': waited}


def _others(
    localizer: Localizer,
    options: TrackingOptions,
    data: Path,
    camera: Camera,
    known: list[Frame],
    count: int,
) -> dict[str, int]:
    """Show other places to a fresh stream, and to one that has just been localized."""
    fresh = TrackingLocalizer(localizer, options)
    poses = entered = 0
    misled: TrackingLocalizer | None = None
    with command_progress() as progress:
        progress.stage('other places', count)
        for number, image in enumerate(_other_images(data / 'facade' / 'images', camera, count)):
            odom = transforms.transform_from(np.eye(3), [0.05 * number, 0.0, 0.0])
            tracked = fresh.localize(image, camera, number * STEP_NS, odom_from_body=odom)
            poses += tracked.body is not None
            if number % 20 == 0:
                misled = TrackingLocalizer(localizer, options)
                for frame in known[52:54]:
                    misled.localize(
                        frame.image, camera, frame.stamp_ns, odom_from_body=frame.odom_from_camera
                    )
                stamp_ns, odometry = known[53].stamp_ns, known[53].odom_from_camera
            assert misled is not None
            stamp_ns += STEP_NS
            after = misled.localize(image, camera, stamp_ns, odom_from_body=odometry)
            entered += after.entered
            progress.advance()
    return {'images': count, 'poses': poses, 'entered': entered}


def _other_images(folder: Path, camera: Camera, count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield parts of a church front, noise, darkness, and walls with a little of each."""
    random = np.random.default_rng(4)
    photographs = [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.iterdir())]
    width, height = camera.image_size
    for number in range(count):
        kind = number % 10
        if kind == 0:
            image = random.integers(0, 255, (height, width), np.uint8)
        elif kind == 1:
            image = np.full((height, width), random.integers(0, 256), np.uint8)
        elif kind == 2:
            coarse = random.normal(128.0, 25.0, (12, 18))
            smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
            wall = smooth + random.normal(0.0, 4.0, smooth.shape)
            image = np.clip(wall, 0, 255).astype(np.uint8)
        else:
            image = _part(photographs[random.integers(len(photographs))], camera, random)
        yield np.ascontiguousarray(image)


def _part(
    photograph: NDArray[np.uint8], camera: Camera, random: np.random.Generator
) -> NDArray[np.uint8]:
    width, height = camera.image_size
    tall, wide = photograph.shape[:2]
    share = random.uniform(0.35, 1.0) * min(1.0, tall / (wide * height / width))
    w, h = int(wide * share), int(wide * share * height / width)
    x, y = random.integers(0, wide - w + 1), random.integers(0, tall - h + 1)
    part = cv2.resize(
        photograph[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA
    )
    return np.asarray(part, np.uint8)


def _rows(measured: dict[str, Any], *, learned: bool) -> Iterator[Row]:
    query, revisit, others = measured['query'], measured['revisit'], measured['others']
    yield at_least(
        '`query` tracked: recall 0.05 m, 5 deg [%]',
        query['recall']['0.05m_5deg'] * 100,
        None if learned else 100,
    )
    yield at_least(
        '`revisit` tracked, from the first fix on: within 0.25 m, 2 deg [%]',
        revisit['recall_from_first_fix']['0.25m_2deg'] * 100,
        97 if learned else 90,
    )
    yield at_most('false poses on both', query['false_fixes'] + revisit['false_fixes'], 0, 'd')
    begun = measured['begun_anywhere']
    yield at_least('`revisit` begun anywhere: within 0.25 m, 2 deg [%]',
                   100 * begun['near'] / max(begun['frames'], 1), None)  # fmt: skip
    yield at_most('`revisit` begun anywhere: false poses', begun['false'], 0, 'd')
    waited = sorted(begun['waited'])
    yield Row('`revisit` begun anywhere: images before the first pose', '',
              f'median {waited[len(waited) // 2]}, most {waited[-1]}', None)  # fmt: skip
    yield at_most(f'poses in {others["images"]} images of other places', others['poses'], 0, 'd')
    yield at_most('the same just after a fix: poses that entered', others['entered'], 0, 'd')
    for name, numbers in (('query', query), ('revisit', revisit)):
        latency = numbers['latency_ms']
        limits = (None, None) if learned else (45, 90)
        yield at_most(f'`{name}` tracked: median latency [ms]', latency['median'], limits[0], '.1f')
        yield at_most(f'`{name}` tracked: p95 latency [ms]', latency['p95'], limits[1], '.1f')
        metres, degrees = numbers['largest_step']
        what = f'`{name}`: largest step of map -> odom while localized'
        yield Row(what, '', f'{metres * 100:.1f} cm, {degrees:.2f} deg', None)
        yield from _honesty(name, numbers, judged=name == 'query' and not learned)
        states = ', '.join(f'{state} {count}' for state, count in numbers['states'].items())
        yield Row(f'`{name}`: states', '', states, None)


def _honesty(name: str, numbers: dict[str, Any], *, judged: bool) -> Iterator[Row]:
    """Yield how the published covariance compares with the errors."""
    nees, inside = numbers['nees']['pose'], 100 * numbers['inside_95']
    limits = (HONEST_NEES, HONEST_INSIDE) if judged else (None, None)
    yield between(f'`{name}`: mean NEES (honest: 6)', nees, limits[0])
    yield between(f'`{name}`: inside the 95 % ellipsoid [%]', inside, limits[1])


def _drift_table(drift: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = [
        '',
        'Odometry of the bags against the drift model (shares of its variances; below 1: the model '
        'expects more):',
        '',
        '| bag | frames | median | largest | position | rotation |',
        '|---|---|---|---|---|---|',
    ]
    for bag, spans in drift.items():
        for span, n in spans.items():
            lines.append(
                f'| `{bag}` | {span} | {n["median_m"]:.3f} m, {n["median_deg"]:.2f} deg | '
                f'{n["max_m"]:.3f} m, {n["max_deg"]:.2f} deg | '
                f'{n["position_share_of_variance"]:.2f} | {n["rotation_share_of_variance"]:.2f} |'
            )
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
