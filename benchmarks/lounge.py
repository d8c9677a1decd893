"""
Measure building and localizing on the recorded lounge and facade; print a table beside targets.

``python benchmarks/lounge.py [--data DIR] [--json FILE]``. Every number is measured in this run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hloc_localizer.cli.progress import command_progress
from hloc_localizer.evaluation import Evaluation, References
from hloc_localizer.evaluation.run import evaluate_source
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps import Map
from hloc_localizer.sources import SourceOptions, open_source

LOADS = 5
FACADE_STEP = 5


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    target: str
    measured: str
    reached: bool | None


def main() -> int:
    """Measure and print; status 1 when a target is missed."""
    arguments = _arguments()
    data = arguments.data.resolve() / 'data'
    if not data.is_dir():
        print(f'{data}: there is no such folder; give --data DIR', file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        work = arguments.keep or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        measured = _measure_lounge(data / 'lounge', work, arguments)
        if not arguments.lounge_only:
            measured['facade'] = _measure_facade(data / 'facade', work, arguments)
    rows = list(_rows(measured))
    print(_table(rows))
    print(_stages(measured))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(measured, indent=2) + '\n', encoding='utf-8')
    return 1 if any(row.reached is False for row in rows) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    default = Path(__file__).parents[1] / os.environ.get('HLOC_LOCALIZER_TEST_DATA', '../shared')
    parser.add_argument('--data', type=Path, default=default, help='folder that holds data/')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all numbers')
    parser.add_argument('--keep', type=Path, metavar='DIR', help='keep the maps there')
    parser.add_argument('--lounge-only', action='store_true', help='leave the facade out')
    parser.add_argument('--build-set', nargs='+', default=[], metavar='NAME=VALUE',
                        help='options of the build')  # fmt: skip
    parser.add_argument('--set', nargs='+', default=[], metavar='NAME=VALUE',
                        help='options of the localizer')  # fmt: skip
    return parser.parse_args()


def _measure_lounge(data: Path, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    output = work / 'lounge'
    measured: dict[str, Any] = {
        'build_s': _build(data / 'map', output, SourceOptions(), arguments),
        'load_s': _load_seconds(output),
        'map_bytes': Map.load(output).compiled_bytes,
        'statistics': dict(vars(Map.load(output).manifest.statistics)),
    }
    for bag in ('query', 'revisit'):
        references = References.read(data / f'{bag}.camera.tum')
        evaluation = _evaluate(
            output, data / bag, SourceOptions(poses='none'), references, arguments
        )
        measured[bag] = evaluation.as_dict()
    return measured


def _measure_facade(data: Path, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Every fifth image is a query; the map is made of the others with their known poses."""
    images = sorted((data / 'images').iterdir())
    folders = {'facade_map': work / 'facade_images', 'facade_query': work / 'facade_queries'}
    for index, image in enumerate(images):
        folder = folders['facade_query' if index % FACADE_STEP == 0 else 'facade_map']
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, folder / image.name)
    calibration = str(data / 'camera.yaml')
    poses = data / 'camera_poses.txt'
    known = SourceOptions(
        camera_info_file=calibration, poses='file', poses_file=str(poses), poses_child='camera'
    )
    output = work / 'facade'
    build_s = _build(folders['facade_map'], output, known, arguments)
    blind = SourceOptions(camera_info_file=calibration, poses='none')
    references = References.read(poses)
    evaluation = _evaluate(output, folders['facade_query'], blind, references, arguments)
    return {'build_s': build_s, **evaluation.as_dict()}


def _build(
    recording: Path, output: Path, source: SourceOptions, arguments: argparse.Namespace
) -> float:
    values = {f'source.{leaf.name}': leaf.value for leaf in source.leaves()}
    options = BuildOptions().with_values(values).with_assignments(arguments.build_set)
    options = options.with_values({'overwrite': True})
    begin = time.perf_counter()
    with command_progress() as progress:
        report = build_map(open_source(recording, options.source), output, options, progress)
    seconds = time.perf_counter() - begin
    print('\n'.join(report.lines()), file=sys.stderr)
    return seconds


def _load_seconds(path: Path) -> float:
    """Return the median of several loads, the file being in the page cache as on any second use."""
    times = []
    for _ in range(LOADS):
        begin = time.perf_counter()
        Map.load(path)
        times.append(time.perf_counter() - begin)
    return sorted(times)[LOADS // 2]


def _evaluate(
    path: Path,
    recording: Path,
    source: SourceOptions,
    references: References,
    arguments: argparse.Namespace,
) -> Evaluation:
    loaded = Map.load(path)
    localizer = Localizer(loaded, LocalizerOptions().with_assignments(arguments.set))
    with command_progress() as progress:
        return evaluate_source(
            localizer, open_source(recording, source), references, loaded.compiled_bytes, progress
        )


def _rows(measured: dict[str, Any]) -> Iterator[Row]:
    query, revisit = measured['query'], measured['revisit']
    yield _at_most('lounge: build of `map` [s]', measured['build_s'], 60, '.1f')
    yield _at_least('`query`: recall 0.05 m, 5 deg [%]', query['recall']['0.05m_5deg'] * 100, 98)
    yield _at_least('`query`: recall 0.10 m, 2 deg [%]', query['recall']['0.10m_2deg'] * 100, 100)
    yield _at_most('`query`: median error [cm]', _scaled(query, 'translation_error_m', 100), 1.2)
    yield _at_most('`query`: median error [deg]', _scaled(query, 'rotation_error_deg', 1), 0.25)
    share = revisit['recall']['0.25m_2deg'] * 100
    yield _at_least('`revisit`: recall 0.25 m, 2 deg [%]', share, 35)
    false = query['false_fixes'] + revisit['false_fixes']
    yield _at_most('false fixes on both', false, 0, 'd')
    for name, numbers in (('query', query), ('revisit', revisit)):
        latency = numbers['latency_ms']['median']
        yield _at_most(f'`{name}`: median latency [ms]', latency, 80, '.1f')
    yield _at_most('compiled map [MB]', measured['map_bytes'] / 1e6, 12)
    yield _at_most('load [s]', measured['load_s'], 0.2, '.3f')
    for name, numbers in (('query', query), ('revisit', revisit)):
        nees = numbers['nees']['pose']
        shown = '-' if nees is None else f'{nees:.1f}'
        yield Row(f'`{name}`: mean NEES of the pose (honest: 6)', '', shown, None)
    if 'facade' in measured:
        facade = measured['facade']
        yield Row('facade: build [s]', '', f'{facade["build_s"]:.1f}', None)
        yield _at_least('facade: localized of 5', facade['localized'], 5, 'd')
        median = _scaled(facade, 'translation_error_m', 100)
        yield _at_most('facade: median error [cm]', median, 3)
        yield _at_most('facade: false fixes', facade['false_fixes'], 0, 'd')


def _scaled(numbers: dict[str, Any], key: str, factor: float) -> float:
    median = numbers[key]['median']
    return float('inf') if median is None else median * factor


def _at_most(what: str, value: float, limit: float, form: str = '.2f') -> Row:
    return Row(what, f'<= {limit}', format(value, form), value <= limit)


def _at_least(what: str, value: float, limit: float, form: str = '.1f') -> Row:
    return Row(what, f'>= {limit}', format(value, form), value >= limit - 1e-9)


def _table(rows: list[Row]) -> str:
    marks = {True: 'yes', False: '**no**', None: ''}
    lines = ['| | target | measured | reached |', '|---|---|---|---|']
    lines += [f'| {r.what} | {r.target} | {r.measured} | {marks[r.reached]} |' for r in rows]
    machine = f'{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}'
    return '\n'.join([*lines, '', f'Machine: {machine}.'])


def _stages(measured: dict[str, Any]) -> str:
    sets = [name for name in ('query', 'revisit', 'facade') if name in measured]
    stages = dict.fromkeys(s for name in sets for s in measured[name]['latency_ms']['stages'])
    lines = [
        '',
        '| median of stage [ms] | ' + ' | '.join(sets) + ' |',
        '|---' * (len(sets) + 1) + '|',
    ]
    for stage in stages:
        values = (measured[name]['latency_ms']['stages'].get(stage) for name in sets)
        shown = ' | '.join('-' if value is None else f'{value:.1f}' for value in values)
        lines.append(f'| {stage} | {shown} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
