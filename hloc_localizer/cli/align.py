"""``hloc-localizer align``: move a map into a frame that exists already."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.progress import command_progress

TARGET_HELP = (
    'tf:FRAME (poses of any localizer in the recording), a TUM file, a file with lines '
    '"image tx ty tz qx qy qz qw", or the folder of another map'
)


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'align',
        help='move a map into a frame that exists already',
        description='Move a map into the frame of TF, of a file of poses, or of another map. Poses '
        'on a part of the way are enough; the map is turned, moved, and scaled if it has no scale.',
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of the map')
    parser.add_argument('--to', required=True, metavar='TARGET', help=TARGET_HELP)
    parser.add_argument(
        '--source', type=Path, nargs='+', default=[], metavar='SOURCE',
        help='recordings that the map was built from; without it, where the map says they are',
    )  # fmt: skip
    parser.add_argument(
        '-o', '--output', type=Path, required=True, metavar='MAP', help='folder of the moved map'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an older map')
    add_option_arguments(parser, 'hloc_localizer.mapping.align_options:AlignCommandOptions')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Align the map and print how well it lies."""
    from hloc_localizer.mapping.align_options import AlignCommandOptions
    from hloc_localizer.mapping.align_to import align_map
    from hloc_localizer.maps import Map, check_output

    options = options_from(arguments, AlignCommandOptions())
    check_output(arguments.output, overwrite=arguments.overwrite)
    with command_progress() as progress:
        report = align_map(
            Map.load(arguments.map),
            arguments.to,
            arguments.output,
            recordings=arguments.source,
            source_options=options.source,
            options=options.align,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    print('\n'.join(report.lines()))
    print(f'map: {arguments.output}')
    return 0
