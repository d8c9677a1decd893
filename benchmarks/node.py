"""
Play the lounge's recordings, with their drifting odometry, to the node over DDS; print a table.

    python -m benchmarks node --map MAP                        # a map of the bag `map`, SIFT
    python -m benchmarks node --map MAP --learned --rate 0.5   # a learned one, at half the speed

An image that the node left out for a newer one counts as one without a pose.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.recordings import add_data_argument, recordings
from benchmarks.targets import Row, at_least, at_most, finish
from hloc_localizer.demo import processes
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.evaluation.nees import pose_error, pose_nees
from hloc_localizer.geometry import transforms
from hloc_localizer.localization.inflation import CHI_SQUARED
from hloc_localizer.ros import environment
from hloc_localizer.sources.tum import read_tum

Array = NDArray[np.float64]

IMAGES = '/camera/image_raw'


@dataclass(frozen=True)
class Played:
    """What came back while a recording was played."""

    metres: Array
    """(N,) errors of the published pose of each image; infinite without a pose."""
    degrees: Array
    """(N,)"""
    nees: Array
    """(M,) of the published poses."""
    answered: int
    latency_ms: Array
    """(A,) from the reception of an image to the publication of its result."""
    step_m: float
    """Largest step of the broadcast ``map -> odom``."""
    step_deg: float

    def share(self, metres: float, degrees: float, *, from_first: bool = False) -> float:
        """Return the percentage of the images with a pose that is so near."""
        near = (self.metres <= metres) & (self.degrees <= degrees)
        posed = np.flatnonzero(np.isfinite(self.metres))
        if not len(posed):
            return 0.0
        return float(100 * np.mean(near[posed[0] :] if from_first else near))

    @property
    def false(self) -> int:
        """How many poses are far off."""
        posed = np.isfinite(self.metres)
        off = (self.metres > FALSE_FIX_M) | (self.degrees > FALSE_FIX_DEG)
        return int(np.count_nonzero(posed & off))


def main(given: Sequence[str] | None = None) -> int:
    """Play, judge, print; status 1 when a target is missed."""
    arguments = _arguments(given)
    lounge = recordings(arguments, 'lounge')
    if lounge is None:
        return 2
    played = {bag: _play(lounge / bag, arguments) for bag in ('query', 'revisit')}
    return finish(list(_rows(played, learned=arguments.learned)))


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks node',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, required=True, help='map of the lounge')
    parser.add_argument('--learned', action='store_true', help='the map has a learned front end')
    parser.add_argument('--rate', type=float, default=1.0, help='speed of playing (default 1)')
    return parser.parse_args(given)


def _play(bag: Path, arguments: argparse.Namespace) -> Played:
    """Play one recording to a node of its own."""
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as name:
        folder = Path(name)
        output = folder / 'replay.json'
        logs = folder / 'localizer.log', folder / 'replay.log'
        with (
            environment.isolated() as variables,
            processes.running(
                'hloc_localizer.ros.localizer', _node_arguments(arguments), variables, logs[0]
            ) as node,
            processes.running(
                'hloc_localizer.ros.replay',
                [str(bag), '--image-topic', f'{IMAGES}/compressed', '--output', str(output),
                 '--rate', str(arguments.rate)],
                variables, logs[1],
            ) as replay,
        ):  # fmt: skip
            processes.wait_beside(
                replay, logs[1], f'playing {bag.name}', node, logs[0], 'the localizer node'
            )
        heard = json.loads(output.read_text(encoding='utf-8'))
    return _judge(heard, bag)


def _node_arguments(arguments: argparse.Namespace) -> list[str]:
    parameters = {
        'map': arguments.map.resolve(),
        'image_transport': 'compressed',
        'use_sim_time': str(arguments.rate != 1.0).lower(),
    }
    given = [f'{name}:={value}' for name, value in parameters.items()]
    remapped = [f'image:={IMAGES}', 'camera_info:=/camera/camera_info']
    return ['--ros-args', *_each('-p', given), *_each('-r', remapped)]


def _each(flag: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


def _judge(heard: dict[str, Any], bag: Path) -> Played:
    """Compare what was heard with the reference poses of the base."""
    references = read_tum(bag.with_name(f'{bag.name}.base_link.tum'))
    errors, nees = [], []
    for image in heard['images']:
        expected = references.at(image['stamp_ns'])
        assert expected is not None, f'{bag.name}: no reference at {image["stamp_ns"]}'
        if 'pose' not in image:
            errors.append((np.inf, np.inf))
            continue
        error = pose_error(np.array(image['pose']), expected)
        metres, radians = np.linalg.norm(error[:3]), np.linalg.norm(error[3:])
        errors.append((float(metres), float(np.degrees(radians))))
        nees.append(pose_nees(error, np.array(image['covariance']))[2])
    metres, degrees = np.array(errors).T
    latencies = [float(answer['values']['latency_ms']) for answer in heard['answers']]
    corrections = np.array([t['pose'] for t in heard['transforms'] if t['child'] == 'odom'])
    steps = transforms.pose_distance(corrections[:-1], corrections[1:])
    return Played(
        metres, degrees, np.array(nees), len(heard['answers']), np.array(latencies),
        float(steps[0].max(initial=0.0)), float(np.degrees(steps[1].max(initial=0.0))),
    )  # fmt: skip


def _rows(played: dict[str, Played], *, learned: bool) -> Iterator[Row]:
    query, revisit = played['query'], played['revisit']
    yield at_least('`query`: poses within 0.05 m, 5 deg, of all images [%]',
                   query.share(0.05, 5.0), None if learned else 100)  # fmt: skip
    yield at_least('`revisit`: within 0.25 m, 2 deg, of all images from the first pose on [%]',
                   revisit.share(0.25, 2.0, from_first=True), 97 if learned else 90)  # fmt: skip
    yield at_most('false poses on both', query.false + revisit.false, 0, 'd')
    honest = float(np.mean(query.nees))
    inside = 100 * float(np.mean(query.nees <= CHI_SQUARED))
    judged = not learned
    yield Row('`query`: mean NEES of the published covariance (honest: 6)',
              '4 to 9' if judged else '', f'{honest:.1f}',
              4 <= honest <= 9 if judged else None)  # fmt: skip
    yield Row('`query`: inside the 95 % ellipsoid [%]', '90 to 99' if judged else '',
              f'{inside:.1f}', 90 <= inside <= 99 if judged else None)  # fmt: skip
    for name, one in played.items():
        posed = np.count_nonzero(np.isfinite(one.metres))
        yield Row(f'`{name}`: images; answered; with a pose', '',
                  f'{len(one.metres)}; {one.answered}; {posed}', None)  # fmt: skip
        median, p95 = np.percentile(one.latency_ms, (50, 95))
        yield Row(f'`{name}`: reception to publication, median / p95 [ms]', '',
                  f'{median:.0f} / {p95:.0f}', None)  # fmt: skip
        yield Row(f'`{name}`: largest step of the broadcast map -> odom', '',
                  f'{one.step_m * 100:.1f} cm, {one.step_deg:.2f} deg', None)  # fmt: skip


if __name__ == '__main__':
    sys.exit(main())
