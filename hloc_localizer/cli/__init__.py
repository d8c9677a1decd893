"""The command line, one file a command."""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from hloc_localizer import __version__
from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.freed_memory import keep_freed_memory

_COMMANDS = ('build', 'align', 'merge', 'prune', 'localize', 'evaluate', 'calibrate', 'info',
             'verify', 'import_map', 'export', 'weights', 'demo', 'replay', 'regress')  # fmt: skip
"""Modules of this package with ``add_parser(subparsers)``; cheap to import, see below."""

_INTERRUPTED = 130
_FAILED, _BAD_INPUT = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param argv: the arguments without the program's name; None takes the process's.
    :returns: 0 done; 1 the work failed; 2 bad input or usage; 130 interrupted.
    """
    verbose = False
    keep_freed_memory()
    try:
        arguments = _parser().parse_args(argv)
        verbose = arguments.verbose
        _set_up_logging(verbose)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of our output has gone (``| head``); Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (HlocLocalizerError, OSError, MemoryError, KeyboardInterrupt) as error:
        if verbose:
            traceback.print_exc()
        print(f'hloc-localizer: {_line(error)}', file=sys.stderr)
        return _status(error)


def _set_up_logging(verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format='%(levelname)s %(name)s: %(message)s',
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='hloc-localizer',
        description='Build a map from a recording; localize a camera in it.',
        epilog='"hloc-localizer COMMAND --help" describes a command.',
    )
    parser.add_argument('--version', action='version', version=f'hloc-localizer {__version__}')
    subparsers = parser.add_subparsers(metavar='COMMAND', required=True)
    for name in _COMMANDS:
        # A command imports what it works with only when it runs, so that --help is quick.
        importlib.import_module(f'hloc_localizer.cli.{name}').add_parser(subparsers)
    for command in subparsers.choices.values():
        command.add_argument(
            '-v', '--verbose', action='store_true', help='show debug messages and tracebacks'
        )
    return parser


def _line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return 'interrupted'
    if isinstance(error, MemoryError):
        return 'not enough memory for this; use fewer or smaller images'
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f'{error.filename}: ' if error.filename else ''
        return f'{where}no space left on the device; free some space or choose another output'
    if isinstance(error, OSError) and error.strerror:
        where = f'{error.filename}: ' if error.filename else ''
        return f'{where}{error.strerror}'
    return str(error).replace('\n', ' ')


def _status(error: BaseException) -> int:
    if isinstance(error, HlocLocalizerError):
        return error.exit_status
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    paths = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    return _BAD_INPUT if isinstance(error, paths) else _FAILED
