"""Where the benchmarks find their recordings, and the map of the lounge that several start from."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hloc_localizer.cli.progress import command_progress
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.sources import open_source


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--data``."""
    default = Path(__file__).parents[1] / os.environ.get('HLOC_LOCALIZER_TEST_DATA', '../shared')
    parser.add_argument('--data', type=Path, default=default, help='folder that holds data/')


def recordings(arguments: argparse.Namespace, *below: str) -> Path | None:
    """Return a folder below ``data/``; None, with a line, where it is not there."""
    folder = Path(arguments.data).resolve().joinpath('data', *below)
    if folder.is_dir():
        return folder
    print(f'{folder}: there is no such folder; give --data DIR', file=sys.stderr)
    return None


def build_lounge(lounge: Path, output: Path) -> Path:
    """Build the map of the lounge's bag ``map`` with the default options."""
    options = BuildOptions(overwrite=True)
    with command_progress() as progress:
        build_map(open_source(lounge / 'map', options.source), output, options, progress)
    return output
