"""``hloc-localizer build``: a recording becomes a map."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.progress import command_progress


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
    add_option_arguments(parser, 'hloc_localizer.mapping.options:BuildOptions')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build the map and print its summary."""
    from hloc_localizer.mapping.options import BuildOptions
    from hloc_localizer.maps import check_output, unfinished_build
    from hloc_localizer.sources import open_sources

    options = options_from(arguments, BuildOptions())
    if arguments.overwrite:
        options = dataclasses.replace(options, overwrite=True)
    check_output(arguments.output, overwrite=options.overwrite)
    source = open_sources(arguments.sources, options.source)

    from hloc_localizer.mapping import build_map

    with command_progress() as progress:
        try:
            report = build_map(source, arguments.output, options, progress)
        except KeyboardInterrupt:
            if left := unfinished_build(arguments.output):
                progress.note(left)
            raise
    print('\n'.join(report.lines()))
    print(f'map: {arguments.output}')
    print(f'report: {arguments.output / "report" / "index.html"}')
    return 0
