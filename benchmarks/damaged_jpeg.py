"""
Damage JPEG pictures of the lounge, and see which are refused and what those show that pass.

    python -m benchmarks jpeg              # which are refused, and how long decoding takes
    python -m benchmarks jpeg --map MAP    # and where a localizer puts those that pass

A picture counts as damaged when bytes of its data were changed or lost and OpenCV, which decodes
what it can, returns other pixels than before, or none. Beside it stands what libjpeg warned of
meanwhile, on stderr. ``differs`` is said of a picture of which more than a fifth is more than 8 of
255 levels brighter or darker than before, ``other edges`` of one that shows other edges in more
than a fifth: it is torn or shifted, not only brighter. Whole pictures, of every subsampling and
quality, may not be refused, and have OpenCV's pixels.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.jpeg_mutations import (
    COLOUR,
    DAMAGED,
    DAMAGES,
    WHOLE,
    WITH_RESTARTS,
    Bytes,
    Image,
    damaged,
    encode,
    filled,
)
from benchmarks.recordings import add_data_argument, recordings
from benchmarks.targets import Row, add_json_argument, at_least, at_most, finish
from hloc_localizer.errors import InputError
from hloc_localizer.evaluation import References
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization import Localizer
from hloc_localizer.maps import Map
from hloc_localizer.sources import Frame, SourceOptions, open_source
from hloc_localizer.sources.image_codec import decode_compressed
from hloc_localizer.sources.jpeg import decode_jpeg, ended

_LEVELS = 8
"""By which a pixel is brighter or darker, or edges around it stronger or weaker on average."""
_MUCH = 0.2
"""Share of a picture above which it differs, or has other edges."""
_WHOLE_EVERY, _PHOTOGRAPHS = 6, 2
_NEAR_M, _NEAR_DEG = 0.05, 5.0
_ROUNDS = 100
_REFUSED = 98
"""Per cent. Some damage looks like what cameras fill in, and passes by chance."""
_MOST_TIME = 1.1
"""Of OpenCV's, for a picture without oddities; what is above 1 is left to noise."""


@dataclass(frozen=True)
class Outcome:
    """What became of a picture whose data was changed."""

    kind: str
    damage: str
    shown: bool
    """Whether OpenCV returns a picture."""
    same: bool
    """Whether it returns the pixels of before."""
    warned: bool
    """Whether libjpeg warned."""
    refused: bool
    changed: float
    """Share of what OpenCV returns that is brighter or darker than before."""
    edges: float
    """Share that shows other edges."""


@dataclass(frozen=True)
class Times:
    """Median milliseconds of decoding one picture."""

    opencv: float
    ours: float


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; status 1 when a target is missed."""
    arguments = _arguments(given)
    data = recordings(arguments)
    if data is None:
        return 2
    cv2.setNumThreads(1)
    source = open_source(data / 'lounge' / 'query', SourceOptions(poses='none'))
    frames = list(source.frames())
    files = sorted((data / 'facade' / 'images').iterdir())[:_PHOTOGRAPHS]
    photographs = [np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1] for path in files]
    outcomes, passed = damage_all(frames, arguments.images, arguments.seed)
    whole = judge_whole([frame.image for frame in frames[::_WHOLE_EVERY]] + photographs)
    times = time_decoding([frames[0].image, photographs[0]])
    rows = list(_rows(outcomes, whole, times))
    if arguments.map is not None:
        camera = source.cameras[frames[0].camera_name]
        references = References.read(data / 'lounge' / 'query.camera.tum')
        localizer = Localizer(Map.load(arguments.map))
        recorded = [(frame, frame.image) for frame in frames]
        for name, pictures in (('as recorded', recorded), ('damaged, passed', passed)):
            errors = [
                _error(localizer.localize(image, camera).map_from_camera, references.find(frame))
                for frame, image in pictures
            ]
            rows += _rows_of_poses(name, errors)
    measured = {
        'damaged': [asdict(outcome) for outcome in outcomes],
        'whole': whole,
        'decoding_ms': {name: asdict(one) for name, one in times.items()},
    }
    tables = [table_by('kind', outcomes), table_by('damage', outcomes), _table_of_times(times)]
    return finish(rows, *tables, measured=measured, output=arguments.json)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks jpeg',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, metavar='MAP', help='localize in it what passes')
    parser.add_argument('--images', type=int, default=60, help='of each kind with each damage')
    parser.add_argument('--seed', type=int, default=0)
    add_json_argument(parser)
    return parser.parse_args(given)


def damage_all(
    frames: Sequence[Frame], count: int, seed: int
) -> tuple[list[Outcome], list[tuple[Frame, Image]]]:
    """
    Damage pictures of each kind in each way, and decode them.

    :param count: pictures of each kind with each damage.
    :returns: what became of them, and the images that passed with other pixels than before.
    """
    random = np.random.default_rng(seed)
    outcomes, passed = [], []
    for kind in DAMAGED:
        for name, damage in DAMAGES.items():
            for _ in range(count):
                frame = frames[int(random.integers(len(frames)))]
                data = encode(frame.image, kind)
                bad = damaged(data, damage, random)
                image = _decoded(bad)
                outcome = _judged(data, bad, kind.name, name, refused=image is None)
                outcomes.append(outcome)
                if image is not None and not outcome.same:
                    passed.append((frame, image))
    return outcomes, passed


def _decoded(data: Bytes) -> Image | None:
    """Decode the data of a message; None where it is refused."""
    try:
        return decode_compressed(data, 'jpeg')
    except InputError:
        return None


def _judged(data: Bytes, bad: Bytes, kind: str, damage: str, *, refused: bool) -> Outcome:
    before = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    with _captured_stderr() as said:
        after = cv2.imdecode(bad, cv2.IMREAD_UNCHANGED)
        warned = os.fstat(said.fileno()).st_size > 0
    if after is None or after.shape != before.shape:
        return Outcome(kind, damage, after is not None, False, warned, refused, 1.0, 1.0)
    same = bool((before == after).all())
    changed, edges = _differences(before, np.asarray(after))
    return Outcome(kind, damage, True, same, warned, refused, changed, edges)


@contextmanager
def _captured_stderr() -> Iterator[IO[bytes]]:
    """Yield a file to which the C libraries of this process write what they have to say."""
    with tempfile.TemporaryFile() as said:
        before = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)


def _differences(before: Image, after: Image) -> tuple[float, float]:
    """Return the share of a picture that is brighter or darker, and that shows other edges."""
    grey = [
        image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        for image in (before, after)
    ]
    edges = [cv2.Laplacian(image, cv2.CV_32F) for image in grey]
    changed = cv2.absdiff(grey[0], grey[1]) > _LEVELS
    other = cv2.blur(np.abs(edges[0] - edges[1]), (16, 16)) > _LEVELS
    return float(changed.mean()), float(other.mean())


def judge_whole(images: Sequence[Image]) -> dict[str, int]:
    """Count the whole pictures that are refused, and those that have other pixels than OpenCV's."""
    counts = {'pictures': 0, 'refused': 0, 'other_pixels': 0}
    for image in images:
        for kind in WHOLE:
            data = encode(image, kind)
            expected = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
            decoded = _decoded(data)
            counts['pictures'] += 1
            if decoded is None:
                counts['refused'] += 1
            elif not np.array_equal(decoded, expected if kind.grey else expected[..., ::-1]):
                counts['other_pixels'] += 1
    return counts


def time_decoding(images: Sequence[Image], rounds: int = _ROUNDS) -> dict[str, Times]:
    """Time OpenCV and the decoder of the sources in turns, by what was decoded."""
    times = {}
    for image in images:
        height, width = image.shape[:2]
        plain, restarts = encode(image, COLOUR), encode(image, WITH_RESTARTS)
        for name, data in {
            'colour': plain,
            'restart marker every row': restarts,
            'filled before each restart marker': filled(restarts),
        }.items():
            times[f'{width}x{height}, {name}'] = _time_one(data, (width, height), rounds)
    return times


def _time_one(data: Bytes, size: tuple[int, int], rounds: int) -> Times:
    """Time on the clock of this thread, on which other processes do not count."""
    opencv, ours = [], []
    with _captured_stderr():
        for _ in range(rounds):
            begin = time.thread_time()
            cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            middle = time.thread_time()
            decode_jpeg(ended(data), size)
            opencv.append(1e3 * (middle - begin))
            ours.append(1e3 * (time.thread_time() - middle))
    return Times(float(np.median(opencv)), float(np.median(ours)))


def _error(
    found: NDArray[np.float64] | None, truth: NDArray[np.float64] | None
) -> tuple[float, float] | None:
    """Return how far off a pose is, in metres and degrees; None without a pose."""
    assert truth is not None
    if found is None:
        return None
    metres, radians = pose_distance(found, truth)
    return float(metres), float(np.degrees(radians))


def _rows(
    outcomes: Sequence[Outcome], whole: dict[str, int], times: dict[str, Times]
) -> Iterator[Row]:
    yield at_most(f'whole, of {whole["pictures"]}: refused', whole['refused'], 0, 'd')
    yield at_most("whole: other pixels than OpenCV's", whole['other_pixels'], 0, 'd')
    bad = [one for one in outcomes if not one.same]
    passed = [one for one in bad if not one.refused]
    yield Row(f'damaged, of {len(outcomes)} with changed data', '', str(len(bad)), None)
    none = sum(not one.shown for one in bad)
    yield Row('damaged: OpenCV returns no picture', '', str(none), None)
    yield Row('damaged: refused', '', str(len(bad) - len(passed)), None)
    warned = [one.refused for one in bad if one.warned]
    yield Row('damaged: libjpeg warns', '', str(len(warned)), None)
    share = 100 * sum(warned) / max(len(warned), 1)
    yield at_least('damaged: refused of those that libjpeg warns of [%]', share, _REFUSED)
    no_picture = sum(not one.shown for one in passed)
    yield at_most('passed although OpenCV returns no picture', no_picture, 0, 'd')
    much = sum(one.changed > _MUCH for one in passed)
    yield Row('passed: more than a fifth differs', '', str(much), None)
    torn = sum(one.edges > _MUCH for one in passed)
    yield Row('passed: other edges in more than a fifth', '', str(torn), None)
    if passed:
        shares = 100 * np.percentile([one.changed for one in passed], [50, 90])
        shown = f'{shares[0]:.2f} / {shares[1]:.1f}'
        yield Row('passed: share that differs, median / p90 [%]', '', shown, None)
    for name, one in times.items():
        if name.endswith('colour'):
            yield at_most(f"{name}: time beside OpenCV's", one.ours / one.opencv, _MOST_TIME)


def _rows_of_poses(name: str, errors: Sequence[tuple[float, float] | None]) -> Iterator[Row]:
    poses = [error for error in errors if error is not None]
    yield Row(f'{name}, of {len(errors)}: localized', '', str(len(poses)), None)
    false = sum(metres > FALSE_FIX_M or degrees > FALSE_FIX_DEG for metres, degrees in poses)
    off = f'{FALSE_FIX_M} m or {FALSE_FIX_DEG:.0f} deg'
    yield at_most(f'{name}: poses off by more than {off}', false, 0, 'd')
    if poses:
        near = sum(metres <= _NEAR_M and degrees <= _NEAR_DEG for metres, degrees in poses)
        what = f'{name}: poses within {_NEAR_M} m, {_NEAR_DEG:.0f} deg [%]'
        yield Row(what, '', f'{100 * near / len(poses):.1f}', None)
        metres, degrees = np.max(poses, axis=0)
        shown = f'{metres * 100:.1f} cm, {degrees:.2f} deg'
        yield Row(f'{name}: largest errors of a pose', '', shown, None)


def table_by(what: str, outcomes: Sequence[Outcome]) -> str:
    """
    Return a table of the damaged pictures.

    :param what: ``kind`` or ``damage``.
    """
    heading = [what, 'data changed', 'damaged', 'libjpeg warns', 'refused', 'passed',
               'though libjpeg warns', 'and differs', 'and has other edges']  # fmt: skip
    lines = ['', '| ' + ' | '.join(heading) + ' |', '|---' * len(heading) + '|']
    for name in dict.fromkeys(getattr(outcome, what) for outcome in outcomes):
        rows = [outcome for outcome in outcomes if getattr(outcome, what) == name]
        bad = [one for one in rows if not one.same]
        passed = [one for one in bad if not one.refused]
        counts = [
            len(rows),
            len(bad),
            sum(one.warned for one in bad),
            len(bad) - len(passed),
            len(passed),
            sum(one.warned for one in passed),
            sum(one.changed > _MUCH for one in passed),
            sum(one.edges > _MUCH for one in passed),
        ]
        lines.append(f'| {name} | ' + ' | '.join(map(str, counts)) + ' |')
    return '\n'.join(lines)


def _table_of_times(times: dict[str, Times]) -> str:
    lines = ['', '| picture | OpenCV [ms] | here [ms] |', '|---|---|---|']
    lines += [f'| {name} | {one.opencv:.2f} | {one.ours:.2f} |' for name, one in times.items()]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
