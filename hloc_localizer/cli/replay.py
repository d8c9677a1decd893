"""``hloc-localizer replay``: localize frames again that a node has recorded."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.options import add_option_arguments, options_from

if TYPE_CHECKING:
    from hloc_localizer.localization import Localization
    from hloc_localizer.localization.bundle import Bundle


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
    from hloc_localizer.localization.tracking import TrackingLocalizer
    from hloc_localizer.mapping.open_map import open_map

    options = options_from(arguments, ReplayCommandOptions())
    bundles = [(path, read_bundle(path)) for path in arguments.bundles]
    localizer = Localizer(open_map(arguments.map), options.localizer)
    tracking = TrackingLocalizer(localizer, options.tracking) if arguments.track else None
    differing = 0
    for path, bundle in bundles:
        if tracking is not None and bundle.tracked is not None:
            result = tracking.search_again(bundle)
        else:
            result = localizer.localize(bundle.image, bundle.camera, bundle.prior)
        line, same = _compared(bundle, result)
        differing += not same
        print(f'{path.name}: {line}')
    print(f'{len(bundles)} frames, {differing} with another result than recorded')
    return 1 if arguments.check and differing else 0


def _compared(bundle: Bundle, result: Localization) -> tuple[str, bool]:
    from hloc_localizer.geometry.transforms import pose_distance

    now = result.reason.value if result.map_from_camera is None else 'localized'
    before = bundle.reason if bundle.map_from_camera is None else 'localized'
    line = f'{now} ({result.matches} matches, {result.inliers} inliers)'
    if bundle.images > 1:
        return f'{line}; recorded: {before}, with {bundle.images} images together', True
    if now != before:
        return f'{line}; recorded: {before}', False
    if result.map_from_camera is None or bundle.map_from_camera is None:
        return f'{line}; as recorded', True
    metres, radians = pose_distance(bundle.map_from_camera, result.map_from_camera)
    same = bool(metres < _SAME_M and radians < _SAME_RAD)
    return f'{line}; {metres:.6f} m, {radians:.6f} rad from the recorded pose', same


_SAME_M, _SAME_RAD = 1e-4, 1e-4
