"""``hloc-localizer demo``: a map, and a robot that finds itself in it, where anyone can see it."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from hloc_localizer.cli.progress import command_progress
from hloc_localizer.errors import InputError


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'demo',
        help='record a rendered room, map it, and localize a robot in it with the real node',
        description=(
            'Record two drives through a rendered room, build a map from the first with the map '
            'builder node, play the second to the localizer node over DDS, and judge and draw '
            'what it publishes. With --bag and --query, do the same with recordings of yours.'
        ),
    )
    parser.add_argument('--bag', type=Path, help='recording to build the map of, with poses')
    parser.add_argument('--query', type=Path, help='recording to localize')
    parser.add_argument(
        '--ground-truth', type=Path, metavar='FILE.tum', help='reference poses of the query'
    )
    parser.add_argument(
        '-o', '--output', type=Path, default=Path('demo-output'), help='default: %(default)s'
    )
    parser.add_argument('--seed', type=int, default=1, help='of the room and the odometry drift')
    parser.add_argument(
        '--keep', action='store_true', help='use recordings and map of an earlier run'
    )
    parser.add_argument(
        '--duration', type=float, default=0.0, metavar='SECONDS', help='of the rendered drives'
    )
    parser.add_argument(
        '--set', action='append', default=[], metavar='source.NAME=VALUE', dest='assignments',
        help='topics and frames of --bag and --query; as in "build"',
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demonstration and print its table."""
    for module, remedy in (
        ('rclpy', 'source a ROS 2, or run "make demo"'),
        ('matplotlib', 'pip install matplotlib'),
    ):
        if importlib.util.find_spec(module) is None:
            raise InputError(f'the demo needs {module}; {remedy}')
    from hloc_localizer.demo.run import DemoOptions, run_demo
    from hloc_localizer.sources.options import SourceOptions

    if arguments.seed < 0:
        raise InputError(f'--seed {arguments.seed}: is negative')
    if not 0.0 <= arguments.duration <= 1e4:
        raise InputError(f'--duration {arguments.duration:g}: is not from 0 to 10000 seconds')
    options = DemoOptions(
        output=arguments.output,
        seed=arguments.seed,
        bag=arguments.bag,
        query=arguments.query,
        ground_truth=arguments.ground_truth,
        source=SourceOptions().with_assignments(
            [text.removeprefix('source.') for text in arguments.assignments]
        ),
        keep=arguments.keep,
        duration_s=arguments.duration,
    )
    with command_progress() as progress:
        report = run_demo(options, progress)
    print('\n'.join(report.outcome.lines()))
    times = ', '.join(f'{name} {seconds:.0f} s' for name, seconds in report.stage_s.items())
    print(f'  {"time":<18} {times}')
    print(f'picture: {report.picture}')
    return 0
