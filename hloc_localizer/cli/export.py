"""``hloc-localizer export``: a map in the formats of other tools."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.output import check_new_output, whole_or_absent
from hloc_localizer.errors import MapError

if TYPE_CHECKING:
    from hloc_localizer.maps import Map

_FOLDERS = {'colmap': ('sfm/',), 'hloc': ('sfm/', 'features.h5', 'global-features.h5')}
"""Which files of a map make up each format; a folder ends with a slash."""


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
        else:
            _copy(loaded, arguments.format, staging)
    print(f'{arguments.format}: {arguments.output}')
    return 0


def _copy(loaded: Map, form: str, folder: Path) -> None:
    for part in _FOLDERS[form]:
        names = [name for name in loaded.manifest.files
                 if name == part or (part.endswith('/') and name.startswith(part))]  # fmt: skip
        if not names:
            raise MapError(f"{loaded.path}: holds no '{part}', so it cannot be exported as {form}")
        for name in names:
            # A COLMAP model is a folder of its own; hloc keeps the model beside its features.
            target = folder / (name[len(part) :] if form == 'colmap' else name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(loaded.path / name, target)
