"""``hloc-localizer import``: a map of hloc's or COLMAP's becomes one of ours."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.progress import command_progress


def add_parser(subparsers: Any) -> None:
    """Declare the command and its two forms."""
    parser = subparsers.add_parser(
        'import',
        help="take over a map of hloc's or COLMAP's",
        description="Take over a map of hloc's, or a COLMAP model with its images.",
    )
    forms = parser.add_subparsers(metavar='FORM', required=True)
    hloc = forms.add_parser(
        'hloc',
        help='an hloc output folder: features, global features and a COLMAP model',
        description='Make a map of an hloc output folder (features, global features, COLMAP '
        'model); the localizer then extracts and matches as hloc did.',
    )
    _add_common(hloc)
    add_option_arguments(hloc, 'hloc_localizer.mapping.import_options:HlocImportOptions')
    hloc.set_defaults(run=_run_hloc)
    colmap = forms.add_parser(
        'colmap',
        help='a COLMAP model and its images',
        description='Make a map of a COLMAP model and its images: features are extracted, matched '
        "and triangulated from the model's poses, which stay as they are.",
    )
    _add_common(colmap)
    colmap.add_argument(
        '--images', type=Path, metavar='DIR',
        help="folder that the model's image names are relative to (default: images/ beside it)",
    )  # fmt: skip
    add_option_arguments(colmap, 'hloc_localizer.mapping.import_options:ColmapImportOptions')
    colmap.set_defaults(run=_run_colmap)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('source', type=Path, metavar='DIR', help='folder to take over')
    parser.add_argument(
        '-o', '--output', type=Path, required=True, metavar='MAP', help='folder of the new map'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace an older map once the new one is whole'
    )
    parser.add_argument(
        '-v', '--verbose', action='store_true', help='show debug messages and tracebacks'
    )


def _run_hloc(arguments: argparse.Namespace) -> int:
    from hloc_localizer.mapping.import_options import HlocImportOptions
    from hloc_localizer.maps import check_output

    options = options_from(arguments, HlocImportOptions())
    if arguments.overwrite:
        options = dataclasses.replace(options, overwrite=True)
    check_output(arguments.output, overwrite=options.overwrite)

    from hloc_localizer.mapping.import_hloc import import_hloc

    with command_progress() as progress:
        report = import_hloc(arguments.source, arguments.output, options, progress)
    return _finish(arguments.output, report.lines())


def _run_colmap(arguments: argparse.Namespace) -> int:
    from hloc_localizer.mapping.import_options import ColmapImportOptions
    from hloc_localizer.maps import check_output

    options = options_from(arguments, ColmapImportOptions())
    if arguments.overwrite:
        options = dataclasses.replace(options, overwrite=True)
    check_output(arguments.output, overwrite=options.overwrite)

    from hloc_localizer.mapping.import_colmap import import_colmap

    with command_progress() as progress:
        report = import_colmap(
            arguments.source, arguments.images, arguments.output, options, progress
        )
    return _finish(arguments.output, report.lines())


def _finish(output: Path, lines: list[str]) -> int:
    print('\n'.join(lines))
    print(f'map: {output}')
    return 0
