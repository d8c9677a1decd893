"""``hloc-localizer weights``: list, fetch and check the weights of learned models."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.weights.catalogue import CATALOGUE, Checkpoint, find_checkpoint
from hloc_localizer.weights.store import (
    DIRECTORY_VARIABLE,
    Condition,
    condition,
    fetch,
    weights_directory,
    weights_path,
)


def add_parser(subparsers: Any) -> None:
    """Add the command to the program's subparsers."""
    parser = subparsers.add_parser(
        'weights',
        help='list, fetch or check the weights of learned front ends',
        description=(
            'Weights lie in ~/.cache/hloc_localizer, or where the environment variable '
            f'{DIRECTORY_VARIABLE} says. Nothing is ever downloaded but by "fetch".'
        ),
    )
    parser.add_argument('action', choices=('list', 'fetch', 'check'))
    parser.add_argument(
        'names', nargs='*', metavar='NAME', help='which weights (fetch: at least one)'
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    checkpoints = [find_checkpoint(name) for name in arguments.names]
    if arguments.action == 'fetch':
        return _fetch(checkpoints)
    if arguments.action == 'check':
        return _check(checkpoints)
    return _list(checkpoints or list(CATALOGUE.values()))


def _list(checkpoints: list[Checkpoint]) -> int:
    print(f'directory: {weights_directory()}')
    for checkpoint in checkpoints:
        there = 'there' if weights_path(checkpoint).is_file() else 'missing'
        limit = '' if checkpoint.commercial_use else '  [non-commercial]'
        print(f'{checkpoint.name:<22} {there:<8} {checkpoint.file_name}{limit}')
        print(f'{"":<22} {checkpoint.model}; licence {checkpoint.licence}')
        print(f'{"":<22} {checkpoint.url}')
    return 0


def _check(checkpoints: list[Checkpoint]) -> int:
    """Check the files named, or all that are there; status 1 when one is wrong or missing."""
    chosen = checkpoints or [c for c in CATALOGUE.values() if weights_path(c).is_file()]
    bad = 0
    for checkpoint in chosen:
        state = condition(checkpoint)
        bad += state in (Condition.WRONG, Condition.MISSING)
        print(f'{checkpoint.name:<22} {state.value:<10} {weights_path(checkpoint)}')
    if not chosen:
        print(f'no weights in {weights_directory()}')
    return 1 if bad else 0


def _fetch(checkpoints: list[Checkpoint]) -> int:
    if not checkpoints:
        names = ', '.join(CATALOGUE)
        print(f'weights fetch: say which of {names}', file=sys.stderr)
        return 2
    failed = 0
    for checkpoint in checkpoints:
        if condition(checkpoint) in (Condition.VERIFIED, Condition.UNVERIFIED):
            print(f'{checkpoint.name}: already there')
            continue
        print(f'{checkpoint.name}: {checkpoint.url} (licence: {checkpoint.licence})')
        try:
            path = fetch(checkpoint)
        except HlocLocalizerError as error:
            print(f'{checkpoint.name}: {error}', file=sys.stderr)
            failed += 1
        else:
            print(f'{checkpoint.name}: {condition(checkpoint).value} {path}')
    return 1 if failed else 0
