"""``hloc-localizer prune``: a map with fewer images."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from hloc_localizer.cli.progress import command_progress

_UNITS = {'': 1, 'B': 1, 'KB': 10**3, 'MB': 10**6, 'GB': 10**9}


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'prune',
        help='make a map smaller',
        description='Write a map with fewer of its images, chosen so that every place keeps some, '
        'and tell what recall that costs.',
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of the map')
    parser.add_argument(
        '-o', '--output', type=Path, required=True, metavar='MAP', help='folder of the smaller map'
    )
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument('--images', type=_count, metavar='N', help='keep so many images')
    wanted.add_argument(
        '--size', type=_bytes, metavar='SIZE',
        help='keep as many as fit into a compiled file of this size, for example 8MB',
    )  # fmt: skip
    parser.add_argument('--overwrite', action='store_true', help='replace an older map')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prune the map and print what it cost."""
    from hloc_localizer.mapping.prune import prune_map
    from hloc_localizer.maps import Map, check_output

    check_output(arguments.output, overwrite=arguments.overwrite)
    with command_progress() as progress:
        report = prune_map(
            Map.load(arguments.map),
            arguments.output,
            images=arguments.images,
            size=arguments.size,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    print('\n'.join(report.lines()))
    print(f'map: {arguments.output}')
    return 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of images")
    return int(text)


def _bytes(text: str) -> int:
    match = re.fullmatch(r'(\d{1,9}(?:\.\d{1,9})?) ?([KMG]?B?)', text.strip().upper(), re.ASCII)
    if match is None or match[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size; give one like 8MB or 500KB")
    return int(float(match[1]) * _UNITS[match[2]])
