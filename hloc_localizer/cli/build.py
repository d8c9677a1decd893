"""``hloc-localizer build``: a recording becomes a map."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.align import TARGET_HELP
from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.progress import command_progress, tell_what_is_left
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
    from hloc_localizer.mapping.align_to import check_target
    from hloc_localizer.mapping.options import BuildOptions
    from hloc_localizer.maps import check_output
    from hloc_localizer.sources import open_sources

    options = options_from(arguments, BuildOptions())
    if arguments.overwrite:
        options = dataclasses.replace(options, overwrite=True)
    check_output(arguments.output, overwrite=options.overwrite)
    if arguments.extend is not None or arguments.refine_map or arguments.keep_all:
        return _extend(arguments, options)
    reading = options
    if arguments.align_to:
        check_target(arguments.align_to, arguments.sources, reading.source)
        options = dataclasses.replace(options, source=_without_target(arguments.align_to, options))
    source = open_sources(arguments.sources, options.source)

    from hloc_localizer.mapping import build_map

    with command_progress() as progress:
        with tell_what_is_left(arguments.output, progress):
            report = build_map(source, arguments.output, options, progress)
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
