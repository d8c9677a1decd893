"""``hloc-localizer replay``: localize frames again that a node has recorded."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.options import add_option_arguments, options_from

if TYPE_CHECKING:
    from hloc_localizer.localization.bundle import Bundle
    from hloc_localizer.localization.tracking import Found, RecordedSearch, WholeMapSearch


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'replay',
        help='localize recorded failures again',
        description='Localize frames again that the localizer node has kept '
        '(parameter record_failures), and compare with what became of them then.',
    )
    parser.add_argument(
        'bundles', type=Path, nargs='+', metavar='BUNDLE', help='folders of recorded frames'
    )
    parser.add_argument('--map', type=Path, required=True, help='folder of a map, or of hloc')
    parser.add_argument(
        '--check', action='store_true', help='exit with status 1 when a result differs'
    )
    parser.add_argument(
        '--track', action='store_true',
        help='localize frames of a stream as the tracker did: near the recorded prediction or in '
        'the whole map, on the reduced or the whole image',
    )  # fmt: skip
    add_option_arguments(parser, 'hloc_localizer.cli.localize_options:ReplayCommandOptions')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Localize all bundles and print a line for each."""
    from hloc_localizer.cli.localize_options import ReplayCommandOptions
    from hloc_localizer.localization import Localizer
    from hloc_localizer.localization.bundle import read_bundle
    from hloc_localizer.localization.tracking import RecordedSearch, WholeMapSearch
    from hloc_localizer.mapping.open_map import open_map

    options = options_from(arguments, ReplayCommandOptions())
    for path in arguments.bundles:
        read_bundle(path)  # none is localized when one is damaged; their pixels are not kept
    localizer = Localizer(open_map(arguments.map), options.localizer)
    alone = WholeMapSearch(localizer)
    again = RecordedSearch(localizer, options.tracking) if arguments.track else None
    differing = 0
    for path in arguments.bundles:
        line, same = _replayed(read_bundle(path), alone, again)
        differing += not same
        print(f'{path.name}: {line}')
    print(f'{len(arguments.bundles)} frames, {differing} with another result than recorded')
    return 1 if arguments.check and differing else 0


def _replayed(
    bundle: Bundle, alone: WholeMapSearch, again: RecordedSearch | None
) -> tuple[str, bool]:
    if again is not None:
        found = again.localize(bundle)
    else:
        found = alone.localize(bundle.moment.images, bundle.moment.prior)
    return _compared(bundle, found, together=again is not None)


def _compared(bundle: Bundle, found: Found, *, together: bool) -> tuple[str, bool]:
    from hloc_localizer.geometry.transforms import pose_distance

    image, pose = found.image, None if found.body is None else found.body.map_from_body
    now = image.reason.value if pose is None else 'localized'
    before = bundle.reason if bundle.map_from_body is None else 'localized'
    line = f'{now} ({image.matches} matches, {image.inliers} inliers'
    line += f' in {found.images} images)' if found.images > 1 else ')'
    if not bundle.whole or (bundle.earlier and not together):
        why = 'see --track' if bundle.whole else 'which were not kept'
        return f'{line}; recorded: {before}, with {bundle.images} images together, {why}', True
    if now != before:
        return f'{line}; recorded: {before}', False
    if pose is None or bundle.map_from_body is None:
        return f'{line}; as recorded', True
    metres, radians = pose_distance(bundle.map_from_body, pose)
    near_m, near_rad = _NEAR if bundle.earlier else _SAME
    same = bool(metres < near_m and radians < near_rad)
    return f'{line}; {metres:.6f} m, {radians:.6f} rad from the recorded pose', same


_SAME = 1e-4, 1e-4
_NEAR = 0.02, 0.01
"""Metres and radians of several moments, whose solution depends a little on those before them."""
