"""``hloc-localizer merge``: two maps of one place become one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.progress import command_progress, tell_what_is_left


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'merge',
        help='join two maps of one place',
        description='Join two maps of one place, in the frame of the first. Images of the second '
        'are localized in the first by their stored features: no recording is needed.',
    )
    parser.add_argument('map', type=Path, metavar='MAP_A', help='folder of the map that stays')
    parser.add_argument('other', type=Path, metavar='MAP_B', help='folder of the map to be added')
    parser.add_argument(
        '-o', '--output', type=Path, required=True, metavar='MAP', help='folder of the new map'
    )
    parser.add_argument('--refine-map', action='store_true', help='images of MAP_A may move too')
    parser.add_argument('--overwrite', action='store_true', help='replace an older map')
    add_option_arguments(parser, 'hloc_localizer.mapping.options:BuildOptions')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Merge the maps and print what that changed."""
    import dataclasses

    from hloc_localizer.mapping.merge import merge_maps
    from hloc_localizer.mapping.options import BuildOptions
    from hloc_localizer.maps import Map, check_output

    options = options_from(arguments, BuildOptions())
    if arguments.overwrite:
        options = dataclasses.replace(options, overwrite=True)
    check_output(arguments.output, overwrite=options.overwrite)
    with command_progress() as progress, tell_what_is_left(arguments.output, progress):
        aligned, joined = merge_maps(
            Map.load(arguments.map),
            Map.load(arguments.other),
            arguments.output,
            options,
            progress=progress,
            refine_map=arguments.refine_map,
        )
    print('\n'.join([*aligned.lines(), *joined.lines()]))
    print(f'map: {arguments.output}')
    print(f'report: {arguments.output / "report" / "index.html"}')
    return 0
