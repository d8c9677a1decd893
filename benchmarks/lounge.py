"""
Measure building and localizing on the recorded lounge; print a table beside its targets.

    python -m benchmarks                                    # sift, and the facade
    python -m benchmarks lounge --front-end xfeat           # with its LightGlue
    python -m benchmarks lounge --front-end xfeat --matcher nearest_neighbour
    python -m benchmarks lounge --map MAP                   # a map of the bag that is there

Every number is measured in this run. With a learned front end the map is also exported for hloc,
imported again and compared. The last lines are the row of the table in ``docs/front-ends.md``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.recordings import add_data_argument, recordings
from benchmarks.targets import add_json_argument, comparison, finish, rows, stages
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.evaluation import Evaluation, References
from hloc_localizer.evaluation.run import evaluate_source
from hloc_localizer.features.registry import front_end_names
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.import_hloc import import_hloc
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps import Map
from hloc_localizer.maps.hloc_export import export_hloc
from hloc_localizer.sources import SourceOptions, open_source

LOADS = 5
FACADE_STEP = 5


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; status 1 when a target is missed."""
    arguments = _arguments(given)
    data = recordings(arguments)
    if data is None:
        return 2
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        work = arguments.keep or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        measured = _measure_lounge(data / 'lounge', work, arguments)
        if measured['front_end'] != 'sift':
            measured['imported'] = _measure_import(data / 'lounge', work, arguments)
        elif not arguments.lounge_only:
            measured['facade'] = _measure_facade(data / 'facade', work, arguments)
    tables = stages(measured), comparison(measured)
    return finish(list(rows(measured)), *tables, measured=measured, output=arguments.json)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks lounge',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_argument(parser)
    parser.add_argument('--front-end', choices=front_end_names(), default='sift')
    parser.add_argument('--matcher', choices=('lightglue', 'nearest_neighbour'),
                        default='lightglue', help='of a learned front end')  # fmt: skip
    parser.add_argument('--map', type=Path, metavar='MAP', help='measure this one, build none')
    add_json_argument(parser)
    parser.add_argument('--keep', type=Path, metavar='DIR', help='keep the maps there')
    parser.add_argument('--lounge-only', action='store_true', help='leave the facade out')
    parser.add_argument('--build-set', nargs='+', default=[], metavar='NAME=VALUE',
                        help='options of the build')  # fmt: skip
    parser.add_argument('--set', nargs='+', default=[], metavar='NAME=VALUE',
                        help='options of the localizer')  # fmt: skip
    return parser.parse_args(given)


def _measure_lounge(data: Path, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    path = arguments.map or work / 'lounge'
    if arguments.map is None:
        measured['build_s'] = _build(data / 'map', path, SourceOptions(), arguments)
    manifest = Map.load(path).manifest
    measured |= {
        'front_end': manifest.front_end.name,
        'matcher': manifest.front_end.parameters.get('matcher', 'nearest_neighbour'),
        'load_s': _load_seconds(path),
        'map_bytes': Map.load(path).compiled_bytes,
        'statistics': dict(vars(manifest.statistics)),
    }
    for bag in ('query', 'revisit'):
        measured[bag] = _evaluate_bag(path, data, bag, arguments)
    return measured


def _measure_import(data: Path, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluate the map as it comes back from hloc's layout."""
    native = Map.load(arguments.map or work / 'lounge')
    folder, imported = work / 'exported', work / 'imported'
    for old in (folder, imported):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir()
    export_hloc(native, folder)
    import_hloc(folder, imported)
    return _evaluate_bag(imported, data, 'query', arguments)


def _evaluate_bag(
    path: Path, data: Path, bag: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    references = References.read(data / f'{bag}.camera.tum')
    source = SourceOptions(poses='none')
    return _evaluate(path, data / bag, source, references, arguments).as_dict()


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
    values['front_end'] = arguments.front_end
    if arguments.front_end != 'sift':
        values[f'{arguments.front_end}.matcher'] = arguments.matcher
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
