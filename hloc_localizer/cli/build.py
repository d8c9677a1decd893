"""``hloc-localizer build``: a recording becomes a map."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.align import TARGET_HELP
from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.errors import HlocLocalizerError

if TYPE_CHECKING:
    from hloc_localizer.mapping.options import BuildOptions
    from hloc_localizer.progress import Progress
    from hloc_localizer.sources import SourceOptions


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
    add_option_arguments(parser, 'hloc_localizer.mapping.options:BuildOptions')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build the map and print its summary."""
    from hloc_localizer.mapping.align_to import check_target
    from hloc_localizer.mapping.options import BuildOptions
    from hloc_localizer.maps import check_output, unfinished_build
    from hloc_localizer.sources import open_sources

    options = options_from(arguments, BuildOptions())
    if arguments.overwrite:
        options = dataclasses.replace(options, overwrite=True)
    check_output(arguments.output, overwrite=options.overwrite)
    reading = options
    if arguments.align_to:
        check_target(arguments.align_to, arguments.sources, reading.source)
        options = dataclasses.replace(options, source=_without_target(arguments.align_to, options))
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
        if arguments.align_to:
            _align(arguments, reading.source, progress)
    print(f'map: {arguments.output}')
    print(f'report: {arguments.output / "report" / "index.html"}')
    return 0


def _without_target(target: str, options: BuildOptions) -> SourceOptions:
    """Leave the poses that the map is to be aligned to out of the build itself."""
    if Path(target).is_dir() or options.source.poses != 'auto':
        return options.source
    return dataclasses.replace(options.source, poses='none')


def _align(arguments: argparse.Namespace, source: SourceOptions, progress: Progress) -> None:
    from hloc_localizer.mapping.align_to import align_map
    from hloc_localizer.maps import Map

    output = arguments.output
    try:
        report = align_map(
            Map.load(output),
            arguments.align_to,
            output,
            recordings=arguments.sources,
            source_options=source,
            overwrite=True,
            progress=progress,
        )
    except HlocLocalizerError as error:
        kept = (
            f'the map is at {output}, in a frame of its own: align it with "hloc-localizer align"'
        )
        raise type(error)(f'{error}; {kept}') from error
    print('\n'.join(report.lines()))
