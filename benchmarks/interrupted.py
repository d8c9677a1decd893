"""
Kill builds at random moments and resume them; compare each map with that of a build left alone.

``python -m benchmarks interrupted [--kills 20] [--seconds 12]``. Every build is a process of its
own that is ended by SIGKILL; the same command then resumes it. Status 1 when any map differs by
more than a millimetre, or in what it holds.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.recordings import add_data_argument, recordings
from benchmarks.targets import at_most, finish
from hloc_localizer.maps import Map, verify_map

LIMIT_M = 1e-3
EXACT = ('image_names', 'observation_point', 'observation_keypoint', 'descriptors')


@dataclass(frozen=True)
class Outcome:
    """One killed and resumed build."""

    killed_after_s: float
    resumed: str
    """What the resumed build said about it."""
    problem: str
    """How its map differs; empty when it does not."""
    largest_difference_m: float


def main(given: Sequence[str] | None = None) -> int:
    """Kill, resume, compare; print a table."""
    arguments = _arguments(given)
    recording = recordings(arguments, 'lounge', 'map')
    if recording is None:
        return 2
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        output, whole = Path(folder) / 'map', Path(folder) / 'whole'
        command = _command(recording, output, arguments.seconds)
        begin = time.perf_counter()
        subprocess.run(_command(recording, whole, arguments.seconds), check=True)
        usual_s = time.perf_counter() - begin
        moments = random.Random(arguments.seed)
        outcomes = []
        while len(outcomes) < arguments.kills:
            outcome = _kill_and_resume(command, output, whole, moments.uniform(0.0, usual_s))
            shutil.rmtree(output)
            if outcome is not None:
                outcomes.append(outcome)
                print(f'{len(outcomes)}/{arguments.kills}', file=sys.stderr)
    print(_table(outcomes, usual_s))
    other = sum(bool(outcome.problem) for outcome in outcomes)
    return finish([at_most(f'{len(outcomes)} resumed builds: another map', other, 0, 'd')])


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks interrupted',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_argument(parser)
    parser.add_argument('--kills', type=int, default=20, help='builds to kill')
    parser.add_argument('--seconds', type=float, default=12.0, help='of the recording; 0: all')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    return parser.parse_args(given)


def _command(recording: Path, output: Path, seconds: float) -> list[str]:
    return [
        sys.executable, '-m', 'hloc_localizer', 'build', str(recording), '-o', str(output),
        '--set', f'source.duration_s={seconds}',
    ]  # fmt: skip


def _kill_and_resume(
    command: list[str], output: Path, whole: Path, after_s: float
) -> Outcome | None:
    """Return what came of it; None when the build was done before it could be killed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if output.exists():
        return None
    resumed = subprocess.run(command, capture_output=True, text=True, check=False)
    if resumed.returncode != 0:
        raise SystemExit(f'the resumed build failed: {resumed.stderr}')
    said = [line for line in resumed.stderr.splitlines() if 'interrupted build' in line]
    problem, difference_m = _difference(output, whole)
    return Outcome(after_s, said[0] if said else 'nothing to take over', problem, difference_m)


def _difference(output: Path, whole: Path) -> tuple[str, float]:
    if not verify_map(output).ok:
        return 'not whole', float('nan')
    for name in ('features.h5', 'global-features.h5'):
        if (output / name).read_bytes() != (whole / name).read_bytes():
            return f'{name} differs', float('nan')
    one, other = Map.load(output).runtime, Map.load(whole).runtime
    for name in EXACT:
        if not np.array_equal(getattr(one, name), getattr(other, name)):
            return f'{name} differs', float('nan')
    poses = np.abs(one.map_from_camera - other.map_from_camera).max()
    points = np.abs(one.points - other.points).max()
    largest = float(max(poses, points))
    return ('' if largest <= LIMIT_M else 'poses or points differ'), largest


def _table(outcomes: list[Outcome], usual_s: float) -> str:
    lines = [
        f'A build left alone takes {usual_s:.1f} s.',
        '',
        '| killed after | the resumed build said | largest difference | same map |',
        '|---|---|---|---|',
    ]
    lines += [
        f'| {one.killed_after_s:.1f} s | {one.resumed} | {one.largest_difference_m:.1e} m '
        f'| {one.problem or "yes"} |'
        for one in sorted(outcomes, key=lambda one: one.killed_after_s)
    ]
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    sys.exit(main())
