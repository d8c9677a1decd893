"""The demonstration from end to end: record, build, start the node, play, judge, draw."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hloc_localizer.demo import drives, processes
from hloc_localizer.demo.outcome import Outcome, read_outcome
from hloc_localizer.demo.photographs import Studio
from hloc_localizer.demo.query import Query
from hloc_localizer.demo.recording import record
from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.interruptible import interruptible
from hloc_localizer.maps import Map
from hloc_localizer.progress import Progress
from hloc_localizer.ros import environment
from hloc_localizer.sources.options import SourceOptions

MARKER = '.hloc_localizer_demo'
"""A file that tells that a folder is the output of a demonstration and may be written anew."""


@dataclass(frozen=True)
class DemoOptions:
    """What is demonstrated on what."""

    output: Path
    seed: int = 1
    bag: Path | None = None
    """Recording to build the map of; None: the rendered room."""
    query: Path | None = None
    """Recording to localize; None: the rendered room."""
    ground_truth: Path | None = None
    """TUM file with reference poses of the query, for the table."""
    source: SourceOptions = field(default_factory=SourceOptions)
    """Topics and frames of both recordings."""
    keep: bool = False
    """Use the recordings and the map of an earlier run where they are whole."""
    duration_s: float = 0.0
    """Length of the rendered drives; 0: the whole drives."""


@dataclass(frozen=True)
class DemoReport:
    """What came of it."""

    outcome: Outcome
    picture: Path
    stage_s: dict[str, float]


def run_demo(options: DemoOptions, progress: Progress) -> DemoReport:
    """
    Run the demonstration in ``options.output``.

    :raises InputError: for recordings or an output that cannot be used.
    :raises HlocLocalizerError: when a node fails; the message says what it said.
    """
    clock = _Stages()
    recordings = _given_recordings(options)
    if recordings is not None:
        query = Query.of(recordings[1], _query_options(options))
    _prepare(options)
    folder = options.output
    with interruptible(), environment.isolated() as variables:
        if recordings is None:
            with clock.stage('record'):
                recordings = _record(options, progress)
            query = Query.of(recordings[1], _query_options(options))
        with clock.stage('build'):
            _build(recordings[0], options, variables, progress)
        with clock.stage('localize'):
            recorded = _localize(query, folder, variables, progress)
    progress.stage('picture')
    with clock.stage('picture'):
        outcome = read_outcome(recorded, query)
        (folder / 'results.json').write_text(json.dumps(outcome.summary(), indent=2) + '\n')
        if not outcome.localized.any():
            raise HlocLocalizerError(_nothing_localized(outcome, folder))
        from hloc_localizer.demo.picture import draw

        draw(folder / 'demo.png', Map.load(folder / 'map').runtime, outcome, query)
    return DemoReport(outcome, folder / 'demo.png', clock.seconds)


class _Stages:
    """How long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begin


def _given_recordings(options: DemoOptions) -> tuple[Path, Path] | None:
    if options.bag is None and options.query is None:
        if options.ground_truth is not None:
            raise InputError('--ground-truth is for a recording of yours; give --bag and --query')
        return None
    if options.bag is None or options.query is None:
        missing = '--bag' if options.bag is None else '--query'
        raise InputError(f'{missing} is missing: the demo needs one bag to map and one to localize')
    for path in (options.bag, options.query, options.ground_truth):
        if path is not None and not path.exists():
            raise InputError(f'{path}: does not exist')
    return options.bag, options.query


def _prepare(options: DemoOptions) -> None:
    """Make the output folder; whatever is in it must be of an earlier demonstration."""
    folder = options.output
    if folder.exists() and not folder.is_dir():
        raise InputError(f'{folder}: is not a folder; choose another --output')
    marker = folder / MARKER
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise InputError(f'{folder}: is no output of a demo; choose another --output, or empty it')
    made_of = json.dumps([options.seed, str(options.bag), str(options.query), options.duration_s])
    if options.keep and marker.exists() and marker.read_text() != made_of:
        raise InputError(f'{folder}: holds a demo of other recordings; leave out --keep')
    if folder.exists() and not options.keep:
        for name in ('recordings', 'map'):
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(made_of)


def _query_options(options: DemoOptions) -> SourceOptions:
    if options.bag is None:
        truth = options.output / 'recordings' / 'query.base_link.tum'
        return SourceOptions(poses='file', poses_file=str(truth))
    if options.ground_truth is None:
        return options.source
    return options.source.with_values({'poses': 'file', 'poses_file': str(options.ground_truth)})


def _record(options: DemoOptions, progress: Progress) -> tuple[Path, Path]:
    folder = options.output / 'recordings'
    paths = folder / 'map', folder / 'query'
    if options.keep and all((path / 'metadata.yaml').exists() for path in paths):
        progress.note(f'recordings kept: {folder}')
        return paths
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    both = drives.mapping_drive(options.seed), drives.query_drive(options.seed)
    if options.duration_s:
        both = tuple(drives.shortened(drive, options.duration_s) for drive in both)  # type: ignore
    progress.stage('furnish and light the room')
    with Studio(options.seed, drives.CAMERA) as studio:
        for number, (path, drive) in enumerate(zip(paths, both, strict=True)):
            progress.stage(f'record the {path.name} drive', len(drive.image_stamps_ns))
            record(path, drive, studio, progress, number=number, with_map_frame=number == 0)
    return paths


def _build(bag: Path, options: DemoOptions, variables: dict[str, str], progress: Progress) -> None:
    output, log = options.output / 'map', options.output / 'map_builder.log'
    if options.keep and (output / 'map.yaml').exists():
        progress.note(f'map kept: {output}')
        return
    parameters: dict[str, object] = {'bag': bag.absolute(), 'output': output.absolute()}
    parameters.update(_changed(options.source))
    arguments = ['--ros-args']
    for name, value in parameters.items():
        arguments += ['-p', f'{name}:={value}']
    progress.stage('build the map with the map builder node')
    with processes.running('hloc_localizer.ros.map_builder', arguments, variables, log) as node:
        processes.follow(node, log, 'the map builder', progress.note)


def _changed(source: SourceOptions) -> dict[str, object]:
    defaults = {leaf.name: leaf.value for leaf in SourceOptions().leaves()}
    return {
        f'build.source.{leaf.name}': leaf.value
        for leaf in source.leaves()
        if leaf.value != defaults[leaf.name]
    }


def _localize(query: Query, folder: Path, variables: dict[str, str], progress: Progress) -> Path:
    output = folder / 'replay.json'
    node_log, replay_log = folder / 'localizer.log', folder / 'replay.log'
    output.unlink(missing_ok=True)
    progress.stage('start the localizer node and play the query drive to it')
    with (
        processes.running(
            'hloc_localizer.ros.localizer', _node_arguments(query, folder), variables, node_log
        ) as node,
        processes.running(
            'hloc_localizer.ros.replay',
            [
                str(query.path), '--image-topic', query.stream.topic,
                '--map-frame', query.options.map_frame, '--output', str(output),
            ],
            variables, replay_log,
        ) as replay,
    ):  # fmt: skip
        processes.wait_beside(
            replay, replay_log, 'playing the query', node, node_log, 'the localizer node'
        )
    return output


def _node_arguments(query: Query, folder: Path) -> list[str]:
    parameters: dict[str, object] = {
        'map': (folder / 'map').absolute(),
        'image_transport': 'compressed' if query.stream.compressed else 'raw',
        'map_frame': query.options.map_frame,
        'odom_frame': query.options.odom_frame,
        'base_frame': query.base_frame,
        'tf_mode': 'map_to_odom' if query.has_odometry else 'map_to_base',
    }
    if query.options.camera_info_file:
        parameters['camera_info_file'] = query.options.camera_info_file
    arguments = ['--ros-args']
    for name, value in parameters.items():
        arguments += ['-p', f'{name}:={value}']
    arguments += ['-r', f'image:={query.image_topic}', '-r', f'camera_info:={query.info_topic}']
    return arguments


def _nothing_localized(outcome: Outcome, folder: Path) -> str:
    reasons = ', '.join(f'{n} {why}' for why, n in outcome.refusals.items())
    return (
        f'none of {len(outcome.stamps_ns)} images was localized ({reasons or "no answer came"}); '
        f'see {folder / "localizer.log"}'
    )
