"""Numbers beside their targets, as tables and JSON; what the lounge benchmark must reach."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    target: str
    measured: str
    reached: bool | None


@dataclass(frozen=True)
class Targets:
    """Limits of one kind of front end; None where there is none."""

    build_s: float
    query_recall: float | None
    query_cm: float | None
    query_deg: float | None
    revisit_recall: float | None
    latency_ms: float | None
    map_mb: float | None = None


SIFT = Targets(60, 98, 1.2, 0.25, 35, 80, 12)
LIGHTGLUE = Targets(120, 99, 1.2, 0.22, 55, 300)
NEAREST = Targets(120, None, None, None, None, 70)

HONEST_NEES, HONEST_INSIDE = (4, 9), (90, 99)
"""What a true covariance gives: the mean, and the percentage inside the 95 % ellipsoid."""


def targets_of(front_end: str, matcher: str) -> Targets:
    """Return the limits of a front end and its matcher."""
    if front_end == 'sift':
        return SIFT
    return LIGHTGLUE if matcher == 'lightglue' else NEAREST


def rows(measured: dict[str, Any]) -> Iterator[Row]:
    """
    Yield the numbers of a run beside their targets.

    :param measured: what ``benchmarks/lounge.py`` writes as JSON.
    """
    query, revisit = measured['query'], measured['revisit']
    wanted = targets_of(measured['front_end'], measured['matcher'])
    if 'build_s' in measured:
        yield at_most('lounge: build of `map` [s]', measured['build_s'], wanted.build_s, '.1f')
    recall = {name: share * 100 for name, share in query['recall'].items()}
    yield at_least('`query`: recall 0.05 m, 5 deg [%]', recall['0.05m_5deg'], wanted.query_recall)
    full = 100 if measured['front_end'] == 'sift' else None
    yield at_least('`query`: recall 0.10 m, 2 deg [%]', recall['0.10m_2deg'], full)
    centimetres = scaled(query, 'translation_error_m', 100)
    yield at_most('`query`: median error [cm]', centimetres, wanted.query_cm)
    degrees = scaled(query, 'rotation_error_deg', 1)
    yield at_most('`query`: median error [deg]', degrees, wanted.query_deg)
    share = revisit['recall']['0.25m_2deg'] * 100
    yield at_least('`revisit`: recall 0.25 m, 2 deg [%]', share, wanted.revisit_recall)
    false = query['false_fixes'] + revisit['false_fixes']
    yield at_most('false fixes on both', false, 0, 'd')
    for name, numbers in (('query', query), ('revisit', revisit)):
        latency = numbers['latency_ms']['median']
        yield at_most(f'`{name}`: median latency [ms]', latency, wanted.latency_ms, '.1f')
    yield at_most('compiled map [MB]', measured['map_bytes'] / 1e6, wanted.map_mb)
    yield at_most('load [s]', measured['load_s'], 0.2, '.3f')
    for name, numbers in (('query', query), ('revisit', revisit)):
        nees = numbers['nees']['pose']
        shown = '-' if nees is None else f'{nees:.1f}'
        yield Row(f'`{name}`: mean NEES of the pose (honest: 6)', '', shown, None)
    if 'imported' in measured:
        yield from _rows_of_import(query, measured['imported'])
    if 'facade' in measured:
        yield from _rows_of_facade(measured['facade'])


def _rows_of_import(native: dict[str, Any], imported: dict[str, Any]) -> Iterator[Row]:
    """Compare the map with one that was exported for hloc and imported again."""
    shares = [numbers['recall']['0.05m_5deg'] * 100 for numbers in (native, imported)]
    yield at_least('exported and imported: `query` recall 0.05 m, 5 deg [%]', shares[1], shares[0])
    medians = [scaled(numbers, 'translation_error_m', 1000) for numbers in (native, imported)]
    apart = abs(medians[0] - medians[1])
    yield at_most('exported and imported: `query` median differs by [mm]', apart, 1)


def _rows_of_facade(facade: dict[str, Any]) -> Iterator[Row]:
    yield Row('facade: build [s]', '', f'{facade["build_s"]:.1f}', None)
    yield at_least('facade: localized of 5', facade['localized'], 5, 'd')
    yield at_most('facade: median error [cm]', scaled(facade, 'translation_error_m', 100), 3)
    yield at_most('facade: false fixes', facade['false_fixes'], 0, 'd')


def scaled(numbers: dict[str, Any], key: str, factor: float) -> float:
    """Return a median in another unit; infinite where nothing was localized."""
    median = numbers[key]['median']
    return float('inf') if median is None else median * factor


def at_most(what: str, value: float, limit: float | None, form: str = '.2f') -> Row:
    """Return the row of a number that should be small."""
    if limit is None:
        return Row(what, '', format(value, form), None)
    return Row(what, f'<= {limit}', format(value, form), value <= limit)


def at_least(what: str, value: float, limit: float | None, form: str = '.1f') -> Row:
    """Return the row of a number that should be large."""
    if limit is None:
        return Row(what, '', format(value, form), None)
    return Row(what, f'>= {limit:.4g}', format(value, form), value >= limit - 1e-9)


def between(what: str, value: float, limits: tuple[float, float] | None, form: str = '.1f') -> Row:
    """Return the row of a number that should be neither small nor large."""
    if limits is None:
        return Row(what, '', format(value, form), None)
    low, high = limits
    return Row(what, f'{low:g} to {high:g}', format(value, form), low <= value <= high)


def table(rows_: Sequence[Row]) -> str:
    """Return the table of the targets."""
    marks = {True: 'yes', False: '**no**', None: ''}
    lines = ['| | target | measured | reached |', '|---|---|---|---|']
    lines += [f'| {r.what} | {r.target} | {r.measured} | {marks[r.reached]} |' for r in rows_]
    machine = f'{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}'
    return '\n'.join([*lines, '', f'Machine: {machine}.'])


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--json``, which :func:`finish` takes as its output."""
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all numbers')


def finish(
    rows_: Sequence[Row],
    *further: str,
    measured: dict[str, Any] | None = None,
    output: Path | None = None,
) -> int:
    """
    Print what was measured, and end a benchmark.

    :param further: tables that follow the one of the targets.
    :param measured: all numbers, for JSON.
    :param output: file for them; None writes none.
    :returns: 1 when a target was missed, else 0.
    """
    print('\n'.join([table(rows_), *further]))
    if output is not None:
        output.write_text(json.dumps(measured, indent=2) + '\n', encoding='utf-8')
    return 1 if any(row.reached is False for row in rows_) else 0


def stages(measured: dict[str, Any]) -> str:
    """Return the table of latencies by stage."""
    sets = [name for name in ('query', 'revisit', 'facade') if name in measured]
    names = dict.fromkeys(s for name in sets for s in measured[name]['latency_ms']['stages'])
    lines = [
        '',
        '| median of stage [ms] | ' + ' | '.join(sets) + ' |',
        '|---' * (len(sets) + 1) + '|',
    ]
    for stage in names:
        values = (measured[name]['latency_ms']['stages'].get(stage) for name in sets)
        shown = ' | '.join('-' if value is None else f'{value:.1f}' for value in values)
        lines.append(f'| {stage} | {shown} |')
    return '\n'.join(lines)


def comparison(measured: dict[str, Any]) -> str:
    """Return the run as one row of the table in ``docs/front-ends.md``, with its heading."""
    query, revisit = measured['query'], measured['revisit']
    name = measured['front_end']
    if name != 'sift':
        name = f'{name}, {measured["matcher"].replace("_", " ")}'
    cells = [
        name,
        f'{query["recall"]["0.05m_5deg"] * 100:.1f} %',
        f'{scaled(query, "translation_error_m", 100):.2f} cm, '
        f'{scaled(query, "rotation_error_deg", 1):.2f} deg',
        f'{revisit["recall"]["0.25m_2deg"] * 100:.1f} %',
        str(query['false_fixes'] + revisit['false_fixes']),
        f'{query["latency_ms"]["median"]:.0f} / {revisit["latency_ms"]["median"]:.0f} ms',
        f'{measured["build_s"]:.0f} s' if 'build_s' in measured else '-',
        f'{measured["map_bytes"] / 1e6:.1f} MB',
    ]
    heading = ['front end', '`query` recall', '`query` median', '`revisit` recall', 'false fixes',
               'latency', 'build', 'map']  # fmt: skip
    return '\n'.join(
        ['', '| ' + ' | '.join(heading) + ' |', '|---' * len(cells) + '|',
         '| ' + ' | '.join(cells) + ' |']
    )  # fmt: skip
