"""
Add the lounge's `query` to the map of its `map`, and localize `revisit` in both.

    python -m benchmarks extend                  # builds the map first
    python -m benchmarks extend --map MAP        # a map of the lounge's bag `map`

The poses of `query` are not given: its frames are localized in the map and checked by its odometry.
How far the new images are from the recorded poses of `query` is measured too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.recordings import add_data_argument, build_lounge, recordings
from benchmarks.targets import Row, at_least, at_most, finish
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.evaluation import Evaluation, References
from hloc_localizer.evaluation.run import evaluate_source
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping import BuildOptions
from hloc_localizer.mapping.extend import extend_map
from hloc_localizer.maps import Map
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.tum import read_tum

_LIMIT = '0.25m_2deg'
"""By which the lounge benchmark judges ``revisit`` too."""
_ALSO = ('0.05m_5deg', '0.10m_2deg')


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; status 1 when a target is missed."""
    arguments = _arguments(given)
    lounge = recordings(arguments, 'lounge')
    if lounge is None:
        return 2
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        work = arguments.keep or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        options = BuildOptions(overwrite=True)
        path = arguments.map or build_lounge(lounge, work / 'lounge')
        with command_progress() as progress:
            begin = time.perf_counter()
            report = extend_map(
                Map.load(path),
                open_source(lounge / 'query', options.source),
                work / 'extended',
                options,
                progress,
                refine_map=arguments.refine_map,
                keep_all=arguments.keep_all,
            )
            seconds = time.perf_counter() - begin
        print('\n'.join(report.lines()), file=sys.stderr)
        before = _evaluate(path, lounge)
        after = _evaluate(work / 'extended', lounge)
        errors = _errors(Map.load(work / 'extended'), lounge)
    return finish(list(_rows(before, after, errors, seconds)))


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks extend',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, metavar='MAP', help='extend this one, build none')
    parser.add_argument('--refine-map', action='store_true', help='let its images move too')
    parser.add_argument('--keep-all', action='store_true', help='keep images that add little')
    parser.add_argument('--keep', type=Path, metavar='DIR', help='keep the maps there')
    return parser.parse_args(given)


def _evaluate(path: Path, lounge: Path) -> Evaluation:
    references = References.read(lounge / 'revisit.camera.tum')
    loaded = Map.load(path)
    source = open_source(lounge / 'revisit', SourceOptions(poses='none'))
    with command_progress() as progress:
        return evaluate_source(
            Localizer(loaded), source, references, loaded.compiled_bytes, progress
        )


def _errors(extended: Map, lounge: Path) -> tuple[float, float]:
    """Return the median errors of the new images, centimetres and degrees."""
    truth = read_tum(lounge / 'query.camera.tum')
    by_stamp = dict(zip(truth.stamps_ns.tolist(), truth.poses, strict=True))
    runtime = extended.runtime
    stamps = {
        int(Path(name).stem): pose
        for name, pose in zip(runtime.image_names, runtime.map_from_camera, strict=True)
        if name.startswith('query/')
    }
    near = {min(by_stamp, key=lambda known: abs(known - stamp)): stamp for stamp in stamps}
    found = np.stack([stamps[stamp] for stamp in near.values()])
    metres, radians = pose_distance(found, np.stack([by_stamp[known] for known in near]))
    return float(np.median(metres)) * 100.0, float(np.degrees(np.median(radians)))


def _rows(
    before: Evaluation, after: Evaluation, errors: tuple[float, float], seconds: float
) -> Iterator[Row]:
    was, now = before.as_dict(), after.as_dict()
    yield Row('extending [s]', '', f'{seconds:.1f}', None)
    yield Row('images of `query`: median error [cm]', '', f'{errors[0]:.2f}', None)
    yield Row('images of `query`: median error [deg]', '', f'{errors[1]:.2f}', None)
    yield Row('`revisit`: localized before', '', str(was['localized']), None)
    yield at_least('`revisit`: localized after', now['localized'], was['localized'], 'd')
    for limit in _ALSO:
        shown = f'{was["recall"][limit] * 100:.1f}, {now["recall"][limit] * 100:.1f}'
        yield Row(f'`revisit`: recall {_named(limit)} before and after [%]', '', shown, None)
    name = f'`revisit`: recall {_named(_LIMIT)} [%]'
    yield at_least(name, now['recall'][_LIMIT] * 100, was['recall'][_LIMIT] * 100)
    yield at_most('`revisit`: false fixes', now['false_fixes'], 0, 'd')
    yield Row(
        'compiled map before and after [MB]',
        '',
        f'{before.map_bytes / 1e6:.1f}, {after.map_bytes / 1e6:.1f}',
        None,
    )


def _named(limit: str) -> str:
    return limit.replace('m_', ' m, ').replace('deg', ' deg')
