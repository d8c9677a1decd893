"""
Feed mutated messages and mutated map folders to the localizer; nothing may crash or mislead.

``python -m benchmarks fuzz --map MAP [--messages 10000] [--maps 2000] [--seed 0]``. Messages go
through what the node does with them: decoding, calibration, transforms, initialpose, localizing.
Every fourth is a moment of two cameras, of which one or both are mutated.
A failure is an exception that is no refusal, a refusal without a reason, or a pose that is wrong.
Status 1 when there is any; each is printed with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.map_mutations import MAP_MUTATIONS, MapMutation, bare_copy
from benchmarks.recordings import add_data_argument, recordings
from benchmarks.virtual_rigs import TWO_CAMERAS, one_camera
from hloc_localizer.errors import HlocLocalizerError, MapError
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.result import Reason
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.sources import Frame, Source, open_source
from hloc_localizer.sources.tum import read_tum

if TYPE_CHECKING:
    from benchmarks.message_fuzzer import Mutant

TWO_EVERY = 4
"""Of this many mutants one is a moment of two cameras."""
_SHOWN = 20
_CLOSE_NS = 600_000_000


@dataclass
class Outcome:
    """What became of the mutants."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def lines(self, name: str) -> list[str]:
        """Return the counts as text."""
        total = sum(self.counts.values())
        lines = [f'{name}: {total} mutants, {len(self.failures)} failures']
        lines += [f'  {count:6d}  {what}' for what, count in self.counts.most_common()]
        return lines + [f'  FAILURE {failure}' for failure in self.failures[:_SHOWN]]


@dataclass(frozen=True)
class Truth:
    """Frames of a recording with the poses that a localizer should find."""

    runs: tuple[tuple[Frame, Frame, Frame], ...]
    """Three that follow each other closely."""
    source: Source
    trajectory: Trajectory

    @staticmethod
    def of(bag: Path, *, runs: int = 8) -> Truth:
        """Read some frames of a bag, and the reference beside it."""
        source = open_source(bag)
        frames = list(source.frames())
        close = [
            three
            for three in zip(frames, frames[1:], frames[2:], strict=False)
            if three[2].stamp_ns - three[0].stamp_ns <= _CLOSE_NS
        ]
        chosen = close[:: max(1, len(close) // runs)]
        return Truth(tuple(chosen), source, read_tum(bag.with_name(f'{bag.name}.camera.tum')))

    @property
    def frames(self) -> list[Frame]:
        """The middle ones."""
        return [run[1] for run in self.runs]

    def wrong(self, frame: Frame, map_from_camera: np.ndarray) -> str:
        """Return how a pose is wrong; empty for a good one."""
        reference = self.trajectory.at(frame.stamp_ns)
        assert reference is not None
        metres, radians = transforms.pose_distance(reference, map_from_camera)
        degrees = float(np.degrees(radians))
        if metres <= FALSE_FIX_M and degrees <= FALSE_FIX_DEG:
            return ''
        return f'pose wrong by {metres:.2f} m, {degrees:.1f} deg'


def main(given: Sequence[str] | None = None) -> int:
    """Mutate, judge, print."""
    arguments = _arguments(given)
    bag = recordings(arguments, 'lounge', 'query')
    if bag is None:
        return 2
    truth = Truth.of(bag)
    outcomes = {}
    if arguments.messages:
        outcomes['messages'] = fuzz_messages(
            Localizer(Map.load(arguments.map)), truth, arguments.messages, arguments.seed
        )
    if arguments.maps:
        outcomes['maps'] = fuzz_maps(arguments.map, truth, arguments.maps, arguments.seed)
    for name, outcome in outcomes.items():
        print('\n'.join(outcome.lines(name)))
    return 1 if any(outcome.failures for outcome in outcomes.values()) else 0


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks fuzz', description=(__doc__ or '').strip().splitlines()[0]
    )
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, required=True, help='map of the lounge')
    parser.add_argument('--messages', type=int, default=10000, help='mutated messages')
    parser.add_argument('--maps', type=int, default=2000, help='mutated map folders')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args(given)


def fuzz_messages(localizer: Localizer, truth: Truth, count: int, seed: int) -> Outcome:
    """Send mutated messages through the node's own conversion and processing."""
    from benchmarks.message_fuzzer import MessageFuzzer

    outcome = Outcome()
    with MessageFuzzer(localizer, truth.source) as fuzzer, warnings.catch_warnings():
        # What overflows has survived for too long.
        warnings.simplefilter('error', RuntimeWarning)
        for number in range(seed, seed + count):
            random = np.random.default_rng(number)
            run = truth.runs[int(random.integers(len(truth.runs)))]
            track = bool(random.integers(2))
            two = number % TWO_EVERY == TWO_EVERY - 1
            rig = TWO_CAMERAS[number // TWO_EVERY % len(TWO_CAMERAS)] if two else one_camera
            try:
                mutant = fuzzer.send(run, rig, random, track=track)
            except Exception as error:
                outcome.failures.append(f'seed {number}: {_line(error)}')
                outcome.counts['crashed'] += 1
                continue
            _judge(mutant, truth, f'seed {number} ({rig.__name__}, {mutant.mutated})', outcome)
    return outcome


def _judge(mutant: Mutant, truth: Truth, name: str, outcome: Outcome) -> None:
    """Count the result of the mutated moment; no pose, of the others neither, may be wrong."""
    for number, answer in enumerate(mutant.answers):
        result = answer.result
        wrong = [truth.wrong(frame, camera) for frame, camera in answer.cameras()]
        # Odometry that moves as a robot can is believed where the image gives no pose.
        carried_off = result.bridged and 'odometry' in mutant.mutated
        if wrong and all(wrong) and carried_off:
            outcome.counts['carried off by wrong odometry (an image besides)'] += 1
        elif wrong and all(wrong):
            outcome.failures.append(f'{name}: image {number}: {wrong[0]}')
        explained = result.detail and '\n' not in result.detail
        if not result.localized and (result.reason is Reason.NONE or not explained):
            outcome.failures.append(f'{name}: image {number}: refused without a reason')
        if any('\n' in part.problem for part in result.parts):
            outcome.failures.append(f'{name}: image {number}: not one line')
    result, several = mutant.result, len(mutant.answers) > 1
    kind = 'bridged' if result.bridged else 'tracked' if several else 'alone'
    cameras = f' with {len(result.views)} of two' if len(mutant.answers[0].views) > 1 else ''
    what = 'localized' if result.reason is Reason.NONE else f'refused: {result.reason.value}'
    outcome.counts[f'{kind}{cameras}, {what}'] += 1


def fuzz_maps(path: Path, truth: Truth, count: int, seed: int) -> Outcome:
    """Load, verify and use damaged copies of a map."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        whole = Path(folder) / 'whole'
        bare_copy(Map.load(path), whole)
        for number in range(seed, seed + count):
            random = np.random.default_rng(number)
            mutate = MAP_MUTATIONS[int(random.integers(len(MAP_MUTATIONS)))]
            with _mutant(whole, Path(folder) / 'mutant', mutate, random) as mutant:
                _judge_map(mutant, mutate, truth, number, outcome)
    return outcome


def _judge_map(
    mutant: Path,
    mutate: MapMutation,
    truth: Truth,
    number: int,
    outcome: Outcome,
) -> None:
    name = mutate.__name__.lstrip('_')
    try:
        kind, failure = _use(mutant, truth.frames[number % len(truth.frames)], truth)
    except Exception as error:
        kind, failure = 'crashed', _line(error)
    outcome.counts[kind] += 1
    if failure:
        outcome.failures.append(f'seed {number} ({name}): {failure}')


def _use(mutant: Path, frame: Frame, truth: Truth) -> tuple[str, str]:
    """Return what became of a map, and what is wrong about that."""
    try:
        noticed = not verify_map(mutant).ok
        loaded = Map.load(mutant)
    except MapError as error:
        line = str(error)
        return 'refused', '' if line and '\n' not in line else f'not one line: {line!r}'
    try:
        localizer = Localizer(loaded)
        camera = truth.source.cameras[frame.camera_name]
        result = localizer.localize(frame.image, camera)
    except HlocLocalizerError as error:
        return 'refused by the localizer', '' if '\n' not in str(error) else 'not one line'
    if result.map_from_camera is None:
        return ('noticed by verify' if noticed else 'harmless') + ', image refused', ''
    wrong = truth.wrong(frame, result.map_from_camera)
    kind = 'noticed by verify' if noticed else 'harmless'
    return f'{kind}, image localized', wrong


@contextmanager
def _mutant(
    whole: Path, path: Path, mutate: MapMutation, random: np.random.Generator
) -> Iterator[Path]:
    """Give a damaged copy of a map, gone afterwards."""
    shutil.copytree(whole, path)
    try:
        mutate(path, random)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _line(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f'{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})'
