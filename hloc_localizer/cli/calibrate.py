"""``hloc-localizer calibrate``: learn how far off the poses in a map are, and store it there."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.cli.source import require_calibration


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'calibrate',
        help='learn the covariance of the poses in a map from a recording with known poses',
        description='Localize the images of a recording whose poses are known, each alone; learn '
        'the covariance of their errors and the probability of success, and store both in the '
        'map. Images that the map was built from are localized in the map without them and their '
        'neighbours.',
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of a map')
    parser.add_argument('source', type=Path, metavar='SOURCE', help='bag, video or folder')
    parser.add_argument(
        '--ground-truth', type=Path, metavar='FILE.tum',
        help="poses of the camera in the map frame, as evaluate takes them; without, the bag's own "
        'poses in the map frame',
    )  # fmt: skip
    add_option_arguments(parser, 'hloc_localizer.cli.localize_options:LocalizeCommandOptions')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Calibrate, write the manifest, print what was learned."""
    from hloc_localizer.cli.localize_options import LocalizeCommandOptions
    from hloc_localizer.evaluation import References
    from hloc_localizer.evaluation.calibration import (
        collect_samples,
        learn_calibration,
        recorded_pose,
    )
    from hloc_localizer.localization import Localizer
    from hloc_localizer.maps import Map
    from hloc_localizer.maps.store import replace_manifest
    from hloc_localizer.sources import open_source

    options = options_from(arguments, LocalizeCommandOptions())
    loaded = Map.load(arguments.map)
    # What was learned before must not bear on which poses are accepted now.
    fresh = dataclasses.replace(
        options.localizer,
        covariance=dataclasses.replace(options.localizer.covariance, calibrated=False),
    )
    localizer = Localizer(loaded, fresh)
    if arguments.ground_truth is None:
        source = open_source(arguments.source, options.source)
        truth_of = recorded_pose(source)
    else:
        source = open_source(arguments.source, options.source.for_localizing())
        truth_of = References.read(arguments.ground_truth).find
    require_calibration(source, loaded.manifest)
    with command_progress() as progress:
        samples = collect_samples(localizer, source, truth_of, progress)
    learned = learn_calibration(samples, arguments.source.name)
    replace_manifest(loaded.path, dataclasses.replace(loaded.manifest, calibration=learned))
    print('\n'.join(_lines(learned, samples)))
    return 0


def _lines(learned: Any, samples: Any) -> list[str]:
    success = 'not learned: no pose was wrong, or none right'
    if learned.success is not None:
        wrong = samples.right.count(False)
        success = f'learned from {len(samples.right) - wrong} right and {wrong} wrong poses'
    return [
        f'frames        {learned.frames} localized',
        f'covariance    standard deviations x {learned.sigma_scale:.2f}, and '
        f'{learned.position_floor_m * 1e3:.1f} mm, {learned.rotation_floor_deg:.2f} deg',
        f'mean NEES     {learned.mean_nees:.1f} on the same frames (honest: 6)',
        f'success       {success}',
    ]
