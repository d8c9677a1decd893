"""
Measure how true the covariance of a pose is, and the probability of success.

``python -m benchmarks covariance [--data DIR] [--map MAP]``. Learned on held-out images of the map
of the lounge, tested on the bags ``query`` and ``revisit``. Status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.recordings import add_data_argument, build_lounge, recordings
from benchmarks.targets import HONEST_INSIDE, HONEST_NEES, between, finish
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.evaluation import References
from hloc_localizer.evaluation.calibration import (
    CalibrationSamples,
    collect_samples,
    learn_calibration,
    recorded_pose,
)
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.inflation import CHI_SQUARED, nees_under
from hloc_localizer.localization.localizer import calibrated_options
from hloc_localizer.localization.options import CovarianceOptions, LocalizerOptions
from hloc_localizer.localization.success import probabilities
from hloc_localizer.maps import Map
from hloc_localizer.maps.calibration import Calibration
from hloc_localizer.sources import SourceOptions, open_source


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, test, print; status 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog='benchmarks covariance')
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, help='a map of the bag `map`, instead of building one')
    given = parser.parse_args(arguments)
    bags = recordings(given, 'lounge')
    if bags is None:
        return 2
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        return _measure(bags, given.map or build_lounge(bags, Path(folder) / 'lounge'))


def _measure(bags: Path, path: Path) -> int:
    options = LocalizerOptions().with_values({'covariance.calibrated': False})
    localizer = Localizer(Map.load(path), options)
    samples = {name: _samples(localizer, bags, name) for name in ('map', 'query', 'revisit')}
    learned = {name: learn_calibration(samples[name], name) for name in ('map', 'query')}
    print('| learned on | tested on | poses | mean NEES | inside the 95 % ellipsoid |')
    print('|---|---|---|---|---|')
    for tested in ('query', 'revisit'):
        _row('nothing', tested, options.covariance, samples[tested])
    own = {
        tested: _row('map', tested, _covariance(learned['map']), samples[tested])
        for tested in ('query', 'revisit')
    }
    _row('query', 'query', _covariance(learned['query']), samples['query'])
    print('\n| probability of success, learned on `map` | right | wrong | mistaken | Brier score |')
    print('|---|---|---|---|---|')
    for tested in ('query', 'revisit'):
        _success_row(tested, learned['map'], samples[tested])
    print()
    mean, inside = own['query']
    what = '`query`, learned on `map`'
    return finish(
        [
            between(f'{what}: mean NEES', mean, HONEST_NEES),
            between(f'{what}: inside the 95 % ellipsoid [%]', 100 * inside, HONEST_INSIDE),
        ]
    )


def _samples(localizer: Localizer, bags: Path, name: str) -> CalibrationSamples:
    own = name == 'map'
    source = open_source(bags / name, SourceOptions(poses='auto' if own else 'none'))
    truth = recorded_pose(source) if own else References.read(bags / f'{name}.camera.tum').find
    with command_progress() as progress:
        return collect_samples(localizer, source, truth, progress)


def _covariance(learned: Calibration) -> CovarianceOptions:
    return calibrated_options(LocalizerOptions(), learned).covariance


def _row(
    learned: str, tested: str, options: CovarianceOptions, samples: CalibrationSamples
) -> tuple[float, float]:
    nees = nees_under(options, np.array(samples.errors), np.array(samples.covariances))
    mean, inside = float(nees.mean()), float((nees <= CHI_SQUARED).mean())
    print(f'| {learned} | {tested} | {len(nees)} | {mean:.1f} | {inside * 100:.0f} % |')
    return mean, inside


def _success_row(tested: str, learned: Calibration, samples: CalibrationSamples) -> None:
    right = np.array(samples.right)
    if learned.success is None:
        print(f'| {tested} | {right.sum()} | {(~right).sum()} | not learned | |')
        return
    found = probabilities(learned.success, np.array(samples.features))
    mistaken, brier = int(((found > 0.5) != right).sum()), float(np.mean((found - right) ** 2))
    print(f'| {tested} | {right.sum()} | {(~right).sum()} | {mistaken} | {brier:.3f} |')


if __name__ == '__main__':
    sys.exit(main())
