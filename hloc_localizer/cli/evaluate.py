"""``hloc-localizer evaluate``: localize a recording and compare with reference poses."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.localizing import add_localizing_arguments, open_metric_map
from hloc_localizer.cli.options import options_from
from hloc_localizer.cli.output import check_file_output, check_folder_output, write_text
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.cli.source import require_calibration
from hloc_localizer.errors import HlocLocalizerError, InputError

if TYPE_CHECKING:
    from hloc_localizer.sources import SourceOptions


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'evaluate',
        help='localize a recording and compare with reference poses',
        description='Localize the images of a recording in a map, each alone or (--track) as a '
        'stream, and compare with reference poses.',
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of a map, or of hloc')
    parser.add_argument('source', type=Path, metavar='SOURCE', help='bag, video or folder')
    parser.add_argument(
        '--ground-truth', type=Path, required=True, metavar='FILE.tum',
        help='reference poses in the map frame: TUM file (stamps within 1 ms of the images\'), or '
        'lines "image tx ty tz qx qy qz qw"',
    )  # fmt: skip
    parser.add_argument(
        '--ground-truth-child', choices=('camera', 'base'), default='camera',
        help="whose poses these are: the camera's optical frame (default), or the robot's base "
        '(joined with the mounting of the camera in the TF of the recording)',
    )  # fmt: skip
    parser.add_argument('--json', type=Path, metavar='FILE.json', help='write the numbers')
    parser.add_argument(
        '--report', type=Path, metavar='DIR', help='write a page with numbers and pictures'
    )
    add_localizing_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print the table; status 1 when nothing could be localized."""
    from hloc_localizer.cli.localize_options import LocalizeCommandOptions
    from hloc_localizer.evaluation import References
    from hloc_localizer.evaluation.report import summary_rows, write_report
    from hloc_localizer.evaluation.run import evaluate_source
    from hloc_localizer.localization import Localizer
    from hloc_localizer.localization.tracking import TrackingLocalizer
    from hloc_localizer.sources import open_source

    options = options_from(arguments, LocalizeCommandOptions())
    check_file_output(arguments.json)
    check_folder_output(arguments.report)
    references = References.read(arguments.ground_truth, child=arguments.ground_truth_child)
    loaded = open_metric_map(arguments)
    alone = Localizer(loaded, options.localizer)
    localizer = TrackingLocalizer(alone, options.tracking) if arguments.track else alone
    source = open_source(arguments.source, _source_options(arguments, options.source))
    if arguments.ground_truth_child == 'base' and source.description.get('kind') != 'bag':
        raise InputError(
            f'{arguments.source}: only a bag knows how the camera is mounted on the base; give '
            'poses of the camera and --ground-truth-child camera'
        )
    require_calibration(source, loaded.manifest)
    with command_progress() as progress:
        evaluation = evaluate_source(localizer, source, references, loaded.compiled_bytes, progress)
    summary = evaluation.as_dict()
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(summary, indent=2, allow_nan=False) + '\n')
    if arguments.report is not None:
        title = f'{arguments.source.name} in {arguments.map.name}'
        write_report(evaluation, loaded.runtime.points, arguments.report, title)
    return _tell(summary, summary_rows(summary))


def _tell(summary: dict[str, Any], rows: list[tuple[str, str]]) -> int:
    width = max(len(name) for name, _ in rows)
    print('\n'.join(f'{name:<{width}}  {text}' for name, text in rows))
    if not summary['localized']:
        reasons = ', '.join(f'{name} {n}' for name, n in summary['refused_by_reason'].items())
        raise HlocLocalizerError(
            f'none of {summary["frames"]} images was localized (refused: {reasons})'
        )
    return 0


def _source_options(arguments: argparse.Namespace, options: SourceOptions) -> SourceOptions:
    options = options.for_localizing()
    if arguments.ground_truth_child == 'camera':
        return options
    # The source joins poses of the base with the camera's mounting.
    return dataclasses.replace(
        options, poses='file', poses_file=str(arguments.ground_truth), poses_child='base'
    )
