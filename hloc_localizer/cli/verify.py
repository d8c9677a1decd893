"""``hloc-localizer verify``: whether every file of a map is as it was built."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'verify',
        help='compare all files of a map with their checksums',
        description='Compare all files of a map with the checksums in its manifest.',
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of the map')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a line a problem; status 1 when there is one."""
    from hloc_localizer.maps import read_manifest, verify_map

    verification = verify_map(arguments.map)
    if not verification.ok:
        problems = verification.lines()
        print('\n'.join(problems))
        print(
            f'hloc-localizer: {arguments.map}: not as it was built ({len(problems)} '
            f'problem{"s" if len(problems) > 1 else ""}); copy or build the map again',
            file=sys.stderr,
        )
        return 1
    files = read_manifest(arguments.map).files
    size = sum(record.size for record in files.values())
    print(f'{arguments.map}: {len(files)} files, {size / 1e6:.2f} MB, all as they were built')
    return 0
