"""
Time the learned front ends on this machine's device, stage by stage, as a Markdown table.

    python -m benchmarks device              # the weights that are there, on a GPU if any
    python -m benchmarks device --seeded     # every front end; values do not change times
    python -m benchmarks device --device cpu --front-ends xfeat --sizes 640x480

Times are medians in milliseconds: by CUDA events on a GPU, by the clock on a CPU. ``upload`` brings
the image to the device, ``extract`` detects and describes, ``download`` brings features back,
``prepare`` is what the matcher does once for the query, ``match`` is one batch over all candidates,
whose own part is resident, and ``result`` brings the matches back.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.features.learned.create import build_networks
from hloc_localizer.features.learned.device import describe_device, resolve_device
from hloc_localizer.features.learned.extraction import image_tensor
from hloc_localizer.features.learned.options import LearnedOptions
from hloc_localizer.features.registry import front_end_options

_STAGES = ('upload', 'extract', 'download', 'prepare', 'match', 'result')


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one table for every combination that was asked for."""
    chosen = _parse(arguments)
    device = resolve_device(chosen.device)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    print(f'torch {torch.__version__} on {describe_device(device)}\n')
    print('| front end | matcher | image | keypoints | candidates | '
          + ' | '.join(_STAGES) + ' | total ms | frames/s |')  # fmt: skip
    print('|' + '---|' * (len(_STAGES) + 7))
    failed = False
    for name in chosen.front_ends:
        for matcher in chosen.matchers:
            try:
                _time_front_end(name, matcher, chosen, device)
            except HlocLocalizerError as error:
                print(f'{name}, {matcher}: {error}', file=sys.stderr)
                failed = True
    return int(failed)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks device', description=__doc__, formatter_class=_Formatter
    )
    names = ('xfeat', 'aliked', 'disk', 'superpoint')
    parser.add_argument('--front-ends', nargs='+', choices=names, default=names)
    parser.add_argument(
        '--matchers', nargs='+', choices=('lightglue', 'nearest_neighbour'), default=('lightglue',)
    )
    parser.add_argument('--sizes', nargs='+', type=_size, default=[(640, 480), (1024, 768)])
    parser.add_argument('--keypoints', nargs='+', type=int, default=[512, 1024])
    parser.add_argument('--candidates', nargs='+', type=int, default=[5, 10])
    parser.add_argument('--device', default='auto')
    parser.add_argument('--precision', default='auto')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads; 0: as torch likes')
    parser.add_argument('--repeats', type=int, default=20)
    parser.add_argument('--seeded', action='store_true', help='random weights, no files needed')
    parser.add_argument(
        '--compile', action='store_true',
        help='through torch.compile (with CUDA graphs on a GPU), which the localizer does not do',
    )  # fmt: skip
    return parser.parse_args(arguments)


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    pass


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition('x')
    return int(width), int(height)


def _time_front_end(
    name: str, matcher: str, chosen: argparse.Namespace, device: torch.device
) -> None:
    for keypoints in chosen.keypoints:
        options = front_end_options(name)().with_values(
            {'matcher': matcher, 'max_keypoints': keypoints, 'precision': chosen.precision}
        )
        torch.manual_seed(0)
        extractor, network = build_networks(name, options, device, seeded=chosen.seeded)
        networks = _Networks(extractor, extractor, network, network, device)
        if chosen.compile:
            networks = networks.compiled()
        for size in chosen.sizes:
            for candidates in chosen.candidates:
                with torch.inference_mode():
                    frame = _Frame(networks, options, size, candidates)
                    times = _medians(frame.stages, device, chosen.repeats)
                total = sum(times)
                cells = ' | '.join(f'{value:.2f}' for value in times)
                print(
                    f'| {name} | {matcher.replace("_", " ")} | {size[0]}x{size[1]} | {keypoints} '
                    f'| {candidates} | {cells} | {total:.1f} | {1000.0 / total:.1f} |',
                    flush=True,
                )


@dataclass(frozen=True)
class _Networks:
    extractor: Any
    extract: Any
    """The extractor, or what torch.compile made of it."""
    matcher: Any
    match: Any
    device: torch.device

    def compiled(self) -> _Networks:
        """Compile both; the first frames, which are not timed, pay for it."""
        mode = 'reduce-overhead' if self.device.type == 'cuda' else 'default'
        return replace(
            self,
            extract=torch.compile(self.extractor.__call__, mode=mode),
            match=torch.compile(self.matcher.__call__, mode=mode),
        )


class _Frame:
    """The work of a frame; every stage leaves what the next one takes."""

    def __init__(
        self, networks: _Networks, options: LearnedOptions, size: tuple[int, int], candidates: int
    ) -> None:
        self._networks, self._matcher = networks, networks.matcher
        self._device = networks.device
        self._options = options
        self._size = size
        self._noise = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)
        self._own = self._features()
        # Like those of a map: on the device, in half precision.
        self._references = [
            self._matcher.resident(self._prepared(*self._features())) for _ in range(candidates)
        ]

    @property
    def stages(self) -> list[Callable[[], None]]:
        """The stages in the order of :data:`_STAGES`."""
        return [getattr(self, stage) for stage in _STAGES]

    def upload(self) -> None:
        """Bring the image to the device."""
        self._image = image_tensor(self._noise, self._device)

    def extract(self) -> None:
        """Detect and describe."""
        self._found = self._networks.extract(self._image)

    def download(self) -> None:
        """Bring the features back."""
        found = self._found
        packed = [found.keypoints, found.scores[:, None], found.descriptors]
        torch.cat(packed, dim=1).cpu()

    def prepare(self) -> None:
        """Do what the matcher does once for the query."""
        self._query = self._prepared(*self._own)

    def match(self) -> None:
        """Match the query against all candidates."""
        self._matches = self._networks.match(self._query, self._references)

    def result(self) -> None:
        """Bring the matches back."""
        self._matches.cpu()

    def _features(self) -> tuple[torch.Tensor, torch.Tensor]:
        count = self._options.max_keypoints
        places = torch.rand(count, 2, device=self._device)
        keypoints = places * (torch.tensor(self._size, device=self._device) - 1.0)
        descriptors = torch.randn(
            count, self._networks.extractor.descriptor_size, device=self._device
        )
        return keypoints, F.normalize(descriptors, dim=1)

    def _prepared(self, keypoints: torch.Tensor, descriptors: torch.Tensor) -> Any:
        return self._matcher.prepare(keypoints, descriptors, self._size)


def _medians(
    stages: Sequence[Callable[[], None]], device: torch.device, repeats: int
) -> list[float]:
    """Return the median milliseconds of every stage, after three frames of warm-up."""
    clock = _cuda_frame if device.type == 'cuda' else _cpu_frame
    for _ in range(3):
        clock(stages)
    frames = [clock(stages) for _ in range(repeats)]
    return [statistics.median(times) for times in zip(*frames, strict=True)]


def _cuda_frame(stages: Sequence[Callable[[], None]]) -> list[float]:
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(stages) + 1)]
    torch.cuda.synchronize()
    marks[0].record()
    for stage, mark in zip(stages, marks[1:], strict=True):
        stage()
        mark.record()
    torch.cuda.synchronize()
    return [before.elapsed_time(after) for before, after in pairwise(marks)]


def _cpu_frame(stages: Sequence[Callable[[], None]]) -> list[float]:
    marks = [time.perf_counter()]
    for stage in stages:
        stage()
        marks.append(time.perf_counter())
    return [1e3 * (after - before) for before, after in pairwise(marks)]


if __name__ == '__main__':
    sys.exit(main())
