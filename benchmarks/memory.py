"""
Measure how the memory of a build grows with its images.

    python -m benchmarks memory                       # the lounge once and three times
    python -m benchmarks memory --times 1 5 --images 5000

The lounge's bag ``map`` is built as it is, and as if the camera had walked through several such
rooms, 100 m apart. Each build is a process of its own, whose memory is read fifty times a second.
What counts is what only the process can give back (``RssAnon``): files that are mapped, such as
features in checkpoints, make room by themselves.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.recordings import add_data_argument, recordings
from benchmarks.targets import Row, at_most, finish
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.mapping import BuildOptions, build_map
from hloc_localizer.maps import Map
from hloc_localizer.sources import open_source
from hloc_localizer.sources.frame import Frame, Source

_APART_M = 100.0
_LATER_NS = 3_600_000_000_000
_LIMIT_MB = 8 * 1024
_PERIOD_S = 0.02


@dataclass
class Usage:
    """The memory of one build."""

    images: int = 0
    seconds: float = 0.0
    peaks_mb: dict[str, float] = field(default_factory=dict)
    """Anonymous memory by stage."""
    resident_mb: float = 0.0
    """With the files that were mapped at the same time."""

    @property
    def peak_mb(self) -> float:
        """The largest of all stages."""
        return max(self.peaks_mb.values())


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; status 1 when so many images would not fit."""
    arguments = _arguments(given)
    recording = recordings(arguments, 'lounge', 'map')
    if recording is None:
        return 2
    if arguments.build is not None:
        return _build(recording, arguments.times[0], arguments.build)
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as folder:
        usages = [
            _measured(recording, Path(folder) / f'map-{times}', times) for times in arguments.times
        ]
    for usage in usages:
        stages = ', '.join(f'{name} {peak:.0f}' for name, peak in usage.peaks_mb.items())
        print(f'{usage.images} images in {usage.seconds:.0f} s, MB by stage: {stages}; '
              f'with mapped files {usage.resident_mb:.0f}')  # fmt: skip
    return finish(_rows(usages[0], usages[-1], arguments.images))


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks memory',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_argument(parser)
    parser.add_argument('--images', type=int, default=5000, help='of the map that is to fit')
    parser.add_argument('--times', nargs='+', type=int, default=[1, 3], metavar='N',
                        help='how often each build walks through the room')  # fmt: skip
    parser.add_argument('--build', type=Path, metavar='MAP', help='only build, and measure nothing')
    return parser.parse_args(given)


class Repeated:
    """A recording as if it went on in rooms of the same kind."""

    def __init__(self, source: Source, times: int) -> None:
        self._source = source
        self._times = times
        self.files = ()
        self.notes = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __len__(self) -> int:
        return self._times * len(self._source)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of each room, one room after the other."""
        for room in range(self._times):
            for frame in self._source.frames():
                yield _moved(frame, room)


def _moved(frame: Frame, room: int) -> Frame:
    pose = frame.map_from_camera
    if pose is not None:
        pose = pose.copy()
        pose[0, 3] += room * _APART_M
    return dataclasses.replace(
        frame,
        name=f'room-{room}/{frame.name}',
        stamp_ns=frame.stamp_ns + room * _LATER_NS,
        map_from_camera=pose,
        odom_from_camera=None,
    )


def _build(recording: Path, times: int, output: Path) -> int:
    options = BuildOptions()
    source = Repeated(open_source(recording, options.source), times)
    with command_progress() as progress:
        build_map(source, output, options, progress)
    return 0


def _measured(recording: Path, output: Path, times: int) -> Usage:
    data = recording.parents[2]
    command = [
        sys.executable, '-m', 'benchmarks', 'memory', '--data', str(data), '--times', str(times),
        '--build', str(output),
    ]  # fmt: skip
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    usage, finished = Usage(), [0]
    lines: list[str] = []

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            finished[0] += _ends_stage(line)

    listener = threading.Thread(target=listen)
    listener.start()
    by_number: dict[int, float] = {}
    while process.poll() is None:
        anonymous, resident = _memory_mb(process.pid)
        by_number[finished[0]] = max(by_number.get(finished[0], 0.0), anonymous)
        usage.resident_mb = max(usage.resident_mb, resident)
        time.sleep(_PERIOD_S)
    listener.join()
    if process.returncode != 0:
        raise SystemExit(f'the build failed: {"".join(lines)}')
    names = [line.split(':')[0] for line in lines if _ends_stage(line)]
    for number, peak in by_number.items():
        name = names[min(number, len(names) - 1)]
        usage.peaks_mb[name] = max(usage.peaks_mb.get(name, 0.0), peak)
    usage.seconds = time.perf_counter() - begin
    usage.images = Map.load(output).manifest.statistics.images
    return usage


def _ends_stage(line: str) -> bool:
    """Tell whether a line of the build says how long a stage took."""
    return re.match(r'[a-z]+: (\d+, )?[\d.]+ s\b', line) is not None


def _memory_mb(pid: int) -> tuple[float, float]:
    """Return anonymous and resident memory of a process; zeros once it has ended."""
    try:
        status = Path(f'/proc/{pid}/status').read_text(encoding='ascii')
    except OSError:
        return 0.0, 0.0
    kilobytes = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(':') for line in status.splitlines())
        if name in ('RssAnon', 'VmRSS')
    }
    return kilobytes.get('RssAnon', 0) / 1024.0, kilobytes.get('VmRSS', 0) / 1024.0


def _rows(small: Usage, large: Usage, images: int) -> list[Row]:
    growth = (large.peak_mb - small.peak_mb) / max(large.images - small.images, 1)
    expected = large.peak_mb + growth * (images - large.images)
    return [
        Row(f'peak with {small.images} images [MB]', '', f'{small.peak_mb:.0f}', None),
        Row(f'peak with {large.images} images [MB]', '', f'{large.peak_mb:.0f}', None),
        Row('growth with each image [MB]', '', f'{growth:.2f}', None),
        at_most(f'expected with {images} images [MB]', expected, _LIMIT_MB, '.0f'),
    ]


if __name__ == '__main__':
    sys.exit(main())
