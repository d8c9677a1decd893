"""``hloc-localizer export``: a map in the formats of other tools."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hloc_localizer.cli.output import check_new_output, whole_or_absent


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'export',
        help='write a map as a COLMAP model, for hloc, or as a point cloud',
        description='Write a map as a COLMAP model, as a folder for hloc, or as a PLY point cloud.',
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of the map')
    parser.add_argument('--format', choices=('hloc', 'colmap', 'ply'), required=True)
    parser.add_argument(
        '-o', '--output', type=Path, required=True, metavar='OUT',
        help='new folder (hloc, colmap) or file (ply)',
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the output, whole or not at all."""
    from hloc_localizer.maps import Map

    loaded = Map.load(arguments.map)
    check_new_output(arguments.output)
    with whole_or_absent(arguments.output) as staging:
        if arguments.format == 'ply':
            from hloc_localizer.maps.ply import write_ply

            write_ply(staging, loaded.runtime.points, loaded.runtime.point_colors)
        elif arguments.format == 'colmap':
            from hloc_localizer.maps.hloc_export import export_colmap

            export_colmap(loaded, staging)
        else:
            from hloc_localizer.maps.hloc_export import export_hloc

            export_hloc(loaded, staging)
    print(f'{arguments.format}: {arguments.output}')
    return 0
