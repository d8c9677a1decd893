"""What the commands that localize a recording have in common: arguments, and the map they open."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hloc_localizer.cli.options import add_option_arguments

if TYPE_CHECKING:
    from hloc_localizer.maps import Map


def add_localizing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--track``, ``--allow-unscaled`` and the options of the localizer."""
    parser.add_argument(
        '--track', action='store_true',
        help='take the images as one stream: predict with the odometry of the recording, filter, '
        'and bridge images that cannot be localized (docs/tracking.md)',
    )  # fmt: skip
    parser.add_argument(
        '--allow-unscaled', action='store_true',
        help='take a map that is not metric: distances are then in units of the map, not metres',
    )  # fmt: skip
    add_option_arguments(parser, 'hloc_localizer.cli.localize_options:LocalizeCommandOptions')


def open_metric_map(arguments: argparse.Namespace) -> Map:
    """
    Open the map that the arguments name.

    :raises InputError: for one that is not metric, unless they allow it.
    """
    from hloc_localizer.mapping.open_map import open_map
    from hloc_localizer.maps.manifest import require_metric

    loaded = open_map(arguments.map)
    require_metric(
        loaded.manifest, allow_unscaled=arguments.allow_unscaled, remedy='--allow-unscaled'
    )
    return loaded
