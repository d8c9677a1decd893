"""``hloc-localizer build``: a recording becomes a map."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.align import TARGET_HELP
from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.progress import command_progress, tell_what_is_left

if TYPE_CHECKING:
    from hloc_localizer.mapping.options import BuildOptions


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'build',
        help='build a map from a bag, a video or a folder of images',
        description='Build a map from a bag, a video or a folder of images.',
    )
    parser.add_argument(
        'sources', type=Path, nargs='+', metavar='SOURCE',
        help='bag, video or folder; several of one place become one map',
    )  # fmt: skip
    parser.add_argument(
        '-o', '--output', type=Path, required=True, metavar='MAP', help='folder of the new map'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace an older map once the new one is whole'
    )
    parser.add_argument(
        '--align-to', metavar='TARGET', help=f'move the map into a frame that exists: {TARGET_HELP}'
    )
    parser.add_argument(
        '--extend', type=Path, metavar='MAP',
        help='add the recording to this map, which stays as it is; the new map is both',
    )  # fmt: skip
    parser.add_argument(
        '--refine-map', action='store_true', help='with --extend: its images may move too'
    )
    parser.add_argument(
        '--keep-all', action='store_true',
        help='with --extend: keep new images too that show little but points of the map',
    )  # fmt: skip
    add_option_arguments(parser, 'hloc_localizer.mapping.options:BuildOptions')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build the map and print its summary."""
    from hloc_localizer.mapping.options import BuildOptions
    from hloc_localizer.maps import check_output

    options = options_from(arguments, BuildOptions())
    if arguments.overwrite:
        options = dataclasses.replace(options, overwrite=True)
    check_output(arguments.output, overwrite=options.overwrite)
    if arguments.extend is not None or arguments.refine_map or arguments.keep_all:
        return _extend(arguments, options)
    from hloc_localizer.mapping.build_aligned import build_aligned

    with command_progress() as progress, tell_what_is_left(arguments.output, progress):
        build_aligned(
            arguments.sources,
            arguments.output,
            options,
            progress,
            align_to=arguments.align_to or '',
            tell=print,
        )
    print(f'map: {arguments.output}')
    print(f'report: {arguments.output / "report" / "index.html"}')
    return 0


def _extend(arguments: argparse.Namespace, options: BuildOptions) -> int:
    """Add the recording to a map and print what that changed."""
    from hloc_localizer.errors import InputError
    from hloc_localizer.mapping.extend import extend_map
    from hloc_localizer.maps import Map
    from hloc_localizer.sources import open_sources

    if arguments.extend is None:
        raise InputError('--refine-map and --keep-all are for --extend MAP, which is not given')
    if arguments.align_to:
        raise InputError('--align-to and --extend: an extended map stays in its frame; align it '
                         'with "hloc-localizer align"')  # fmt: skip
    loaded = Map.load(arguments.extend)
    reading = dataclasses.replace(options.source, map_frame=loaded.manifest.map_frame)
    source = open_sources(arguments.sources, reading)
    with command_progress() as progress, tell_what_is_left(arguments.output, progress):
        report = extend_map(
            loaded,
            source,
            arguments.output,
            options,
            progress,
            refine_map=arguments.refine_map,
            keep_all=arguments.keep_all,
        )
    print('\n'.join(report.lines()))
    print(f'map: {arguments.output}')
    print(f'report: {arguments.output / "report" / "index.html"}')
    return 0
