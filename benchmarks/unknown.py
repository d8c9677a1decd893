"""
Measure maps of recordings whose poses are unknown; print a table beside targets.

``python -m benchmarks unknown [odometry|depth|walk|facade ...] [--data DIR] [--json FILE]``. What
the reference poses know is used only to judge: a map is aligned with them at the end, rigidly where
it claims to be metric, with scale where it does not. Every number is measured in this run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.recordings import add_data_argument, recordings
from benchmarks.targets import Row, add_json_argument, at_least, at_most, finish
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.evaluation import References
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.evaluation.run import localize_frames
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.alignment import Alignment, align_points_robustly
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps import Map
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.tum import read_tum

TRUE_FOCAL_PX = 495.5
VIDEO_RATE_HZ = 5.0


@dataclass(frozen=True)
class Judged:
    """A map against the truth."""

    registered: float
    """Share of the selected images."""
    images: int
    median_m: float
    """Of the camera positions, aligned."""
    scale: float
    """Of the map against the truth; 1 is right."""
    tilt_deg: float
    """Between the map's z axis and the truth's."""
    focal_px: float
    build_s: float
    alignment: Alignment
    """Of the truth from the map."""


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; status 1 when a target is missed."""
    arguments = _arguments(given)
    data = recordings(arguments)
    if data is None:
        return 2
    measured: dict[str, Any] = {}
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        work = arguments.keep or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        for name in arguments.what or _PARTS:
            found += _PARTS[name](data, work, arguments, measured)
    return finish(found, measured=measured, output=arguments.json)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('what', nargs='*', choices=[*_PARTS, []], help='empty: everything')
    add_data_argument(parser)
    add_json_argument(parser)
    parser.add_argument('--keep', type=Path, metavar='DIR', help='keep the maps there')
    parser.add_argument('--build-set', nargs='+', default=[], metavar='NAME=VALUE',
                        help='options of the build')  # fmt: skip
    return parser.parse_args(given)


def _odometry(
    data: Path, work: Path, arguments: argparse.Namespace, measured: dict[str, Any]
) -> Iterator[Row]:
    """Build from images and odometry alone; localize another bag in the map."""
    lounge = data / 'lounge'
    source = SourceOptions(poses='none', depth_topic='none', imu_topic='none')
    truth = _by_stamp(lounge / 'map.camera.tum')
    judged = _build(lounge / 'map', work / 'odometry', source, truth, arguments, rigid=True)
    measured['odometry'] = _plain(judged)
    yield at_least('odometry: images registered [%]', judged.registered * 100, 99)
    yield at_most('odometry: median camera position [cm]', judged.median_m * 100, 4)
    yield at_most('odometry: scale error [%]', abs(judged.scale - 1.0) * 100, 1)
    yield at_most('odometry: gravity error [deg]', judged.tilt_deg, 0.7)
    yield at_most('odometry: build [s]', judged.build_s, 240, '.0f')
    queries = _by_stamp(lounge / 'query.camera.tum')
    errors = _localize(work / 'odometry', lounge / 'query', source, queries, judged.alignment)
    measured['odometry']['query'] = errors
    recall = errors['recall_0.10m_2deg'] * 100
    yield at_least('odometry: `query`, recall 0.10 m, 2 deg [%]', recall, 97)
    yield at_most('odometry: `query`, false fixes', errors['false_fixes'], 0, 'd')


def _depth(
    data: Path, work: Path, arguments: argparse.Namespace, measured: dict[str, Any]
) -> Iterator[Row]:
    """Build from images and depth, without odometry."""
    lounge = data / 'lounge'
    source = SourceOptions(poses='none', odom_topic='none', imu_topic='none')
    truth = _by_stamp(lounge / 'map.camera.tum')
    judged = _build(lounge / 'map', work / 'depth', source, truth, arguments, rigid=True)
    measured['depth'] = _plain(judged)
    yield at_most('depth: scale error [%]', abs(judged.scale - 1.0) * 100, 2)
    yield at_most('depth: median camera position [cm]', judged.median_m * 100, None)
    yield at_most('depth: gravity error [deg]', judged.tilt_deg, None)


def _walk(
    data: Path, work: Path, arguments: argparse.Namespace, measured: dict[str, Any]
) -> Iterator[Row]:
    """Build from a video of which nothing is known; localize a later video in the map."""
    lounge = data / 'lounge'
    poses = [read_tum(lounge / f'{bag}.camera.tum') for bag in ('map', 'query')]
    stamps = np.concatenate([each.stamps_ns for each in poses])
    ordered = np.concatenate([each.poses for each in poses])[np.argsort(stamps)]
    judged = _build(
        lounge / 'walk.mp4', work / 'walk', SourceOptions(), _by_number(ordered), arguments,
        rigid=False,
    )  # fmt: skip
    measured['walk'] = _plain(judged)
    yield at_least('walk.mp4: images in one model [%]', judged.registered * 100, 95)
    yield at_most('walk.mp4: median camera position [cm]', judged.median_m * 100, 6)
    focal = abs(judged.focal_px / TRUE_FOCAL_PX - 1.0) * 100
    yield at_most('walk.mp4: focal length off by [%]', focal, 3)
    again = read_tum(lounge / 'revisit.camera.tum').poses
    errors = _localize(
        work / 'walk', lounge / 'walk_again.mp4', SourceOptions(), _by_number(again),
        judged.alignment,
    )  # fmt: skip
    measured['walk']['again'] = errors
    yield at_least('walk_again.mp4: localized images', errors['localized'], 1, 'd')
    share = errors['recall_0.25m_2deg'] * 100
    yield at_least('walk_again.mp4: recall 0.25 m, 2 deg [%]', share, None)
    yield at_most('walk_again.mp4: false fixes', errors['false_fixes'], 0, 'd')


def _facade(
    data: Path, work: Path, arguments: argparse.Namespace, measured: dict[str, Any]
) -> Iterator[Row]:
    """Build from photographs with a calibration."""
    references = References.read(data / 'facade' / 'camera_poses.txt')
    judged = _build(
        data / 'facade' / 'images', work / 'facade', SourceOptions(poses='none'),
        lambda frame: references.find(frame), arguments, rigid=False,
    )  # fmt: skip
    measured['facade'] = _plain(judged)
    yield at_least('facade: images registered of 25', judged.images, 25, 'd')
    yield at_most('facade: median camera position [cm]', judged.median_m * 100, 1)


_PARTS: Mapping[str, Callable[..., Iterator[Row]]] = {
    'odometry': _odometry,
    'depth': _depth,
    'walk': _walk,
    'facade': _facade,
}

Truth = Callable[[Frame], 'NDArray[np.float64] | None']


def _by_stamp(path: Path) -> Truth:
    references = References.read(path)
    return lambda frame: references.find(frame)


def _by_number(poses: NDArray[np.float64]) -> Truth:
    """Return the truth of a video, whose images come at a fixed rate."""

    def find(frame: Frame) -> NDArray[np.float64] | None:
        number = round(frame.stamp_ns / 1e9 * VIDEO_RATE_HZ)
        return poses[number] if number < len(poses) else None

    return find


def _build(
    recording: Path,
    output: Path,
    source: SourceOptions,
    truth: Truth,
    arguments: argparse.Namespace,
    *,
    rigid: bool,
) -> Judged:
    values = {f'source.{leaf.name}': leaf.value for leaf in source.leaves()}
    options = BuildOptions().with_values({**values, 'overwrite': True})
    options = options.with_assignments(arguments.build_set)
    opened = open_source(recording, options.source)
    begin = time.perf_counter()
    with command_progress() as progress:
        report = build_map(opened, output, options, progress)
    build_s = time.perf_counter() - begin
    print('\n'.join(report.lines()), file=sys.stderr)
    loaded = Map.load(output)
    poses = dict(zip(loaded.runtime.image_names, loaded.runtime.map_from_camera, strict=True))
    known = [
        (poses[frame.name], pose)
        for frame in opened.frames()
        if frame.name in poses and (pose := truth(frame)) is not None
    ]
    mine, theirs = (np.stack(side) for side in zip(*known, strict=True))
    extent = float(np.ptp(theirs[:, :3, 3], axis=0).max())
    aligned, scaled = (
        align_points_robustly(
            mine[:, :3, 3], theirs[:, :3, 3], max_error=0.1 * extent, with_scale=with_scale
        )
        for with_scale in (not rigid, True)
    )
    return Judged(
        registered=report.images / report.selected,
        images=report.images,
        median_m=float(np.median(aligned.residuals)),
        scale=scaled.scale,
        tilt_deg=float(np.degrees(np.arccos(np.clip(aligned.rotation[2, 2], -1.0, 1.0)))),
        focal_px=loaded.runtime.cameras[0].focal_px,
        build_s=build_s,
        alignment=aligned,
    )


def _localize(
    path: Path, recording: Path, source: SourceOptions, truth: Truth, alignment: Alignment
) -> dict[str, Any]:
    """Localize every frame alone; judge in metres, in the frame of the truth."""
    frames = localized = false_fixes = 0
    within = {(0.10, 2.0): 0, (0.25, 2.0): 0}
    localizer = Localizer(Map.load(path))
    with command_progress() as progress:
        for one in localize_frames(localizer, open_source(recording, source), progress):
            reference = truth(one.frame)
            if reference is None:
                continue
            frames += 1
            pose = one.localization.map_from_camera
            if pose is None:
                continue
            localized += 1
            distance, angle = transforms.pose_distance(alignment.apply_to_poses(pose), reference)
            degrees = float(np.degrees(angle))
            false_fixes += bool(distance > FALSE_FIX_M or degrees > FALSE_FIX_DEG)
            for limit_m, limit_deg in within:
                within[limit_m, limit_deg] += bool(distance <= limit_m and degrees <= limit_deg)
    shares = {f'recall_{m:.2f}m_{deg:g}deg': n / frames for (m, deg), n in within.items()}
    return {'frames': frames, 'localized': localized, 'false_fixes': false_fixes, **shares}


def _plain(judged: Judged) -> dict[str, Any]:
    return {name: value for name, value in vars(judged).items() if name != 'alignment'}


if __name__ == '__main__':
    sys.exit(main())
