"""``--config``, ``--set`` and ``--help-options``: option dataclasses on the command line."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hloc_localizer.errors import InputError
from hloc_localizer.options import Option, Options

_OptionsT = TypeVar('_OptionsT', bound=Options)
_LARGEST_CONFIG = 1 << 20


def add_option_arguments(parser: argparse.ArgumentParser, options: str) -> None:
    """
    Add the arguments that fill an option tree.

    :param options: ``module:class`` of the tree's root, imported when it is needed.
    """
    parser.add_argument(
        '--config', type=Path, metavar='FILE', help='YAML file with options, nested or dotted'
    )
    parser.add_argument(
        '--set', dest='assignments', nargs='+', action='extend', default=[], metavar='NAME=VALUE',
        help='set options; they win over --config',
    )  # fmt: skip
    parser.add_argument(
        '--help-options', action=_HelpOptions, const=options, nargs=0,
        help='list all options with their defaults and exit',
    )  # fmt: skip


def options_from(arguments: argparse.Namespace, root: _OptionsT) -> _OptionsT:
    """
    Return the options of ``--config`` and ``--set`` over the defaults.

    :raises InputError: naming the file or the option.
    """
    if arguments.config is not None:
        try:
            root = root.with_values(_read_config(arguments.config))
        except InputError as error:
            raise InputError(f'{arguments.config}: {error}') from error
    return root.with_assignments(arguments.assignments)


def _read_config(path: Path) -> dict[str, Any]:
    import yaml

    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise InputError('too large for a file of options')
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise InputError(f'cannot be read ({error.strerror})') from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        line = str(getattr(error, 'problem_mark', '') or '').strip()
        raise InputError(f'not valid YAML {line}'.rstrip()) from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError('expected "name: value" lines')
    return values


class _HelpOptions(argparse.Action):
    """Print the option tree and exit, like ``--help``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        module, _, name = str(self.const).partition(':')
        root = getattr(importlib.import_module(module), name)()
        print('\n'.join(option_lines(root)))
        parser.exit()


def option_lines(root: Options) -> Iterator[str]:
    """Describe every option: name, default, allowed values, what it does."""
    for leaf in root.leaves():
        yield f'{leaf.name} = {_value(leaf.value)}{_allowed(leaf)}'
        yield f'    {leaf.description}'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f'[{", ".join(_value(item) for item in value)}]'
    return repr(value) if isinstance(value, str) else str(value)


def _allowed(leaf: Option) -> str:
    if leaf.choices is not None:
        return f'  ({" | ".join(str(choice) for choice in leaf.choices)})'
    low, high = leaf.minimum, leaf.maximum
    if low is not None and high is not None:
        return f'  ({low} to {high})'
    if low is not None:
        return f'  (at least {low})'
    return '' if high is None else f'  (at most {high})'
