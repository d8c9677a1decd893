"""Launch arguments made of the nodes' options, so that each is described in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from hloc_localizer.errors import InputError
from hloc_localizer.options import Option, Options

_AS_IN_FILE = 'default: as in params_file'


def parameter_arguments(
    options: Options, names: Sequence[str], *, required: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """
    Yield the keyword arguments of one ``DeclareLaunchArgument`` for each of some parameters.

    An argument is named as the last part of its parameter's name. One that is not given leaves
    the parameter to ``params_file``.

    :param names: dotted names of leaves of the options.
    :param required: those without which the launch stops and says so.
    """
    leaves = {leaf.name: leaf for leaf in options.leaves()}
    for name in names:
        argument = {'name': _argument(name), 'description': leaves[name].description}
        if name not in required:
            argument['description'] += f' ({_allowed(leaves[name])}{_AS_IN_FILE})'
            argument['default_value'] = ''
        yield argument


def given_parameters(
    options: Options, names: Sequence[str], arguments: Mapping[str, str]
) -> dict[str, Any]:
    """
    Return the parameters whose launch argument was given, in their own types.

    :param names: dotted names of leaves of the options.
    :param arguments: the text of each launch argument; empty: not given.
    :raises InputError: for a text that is no value of its parameter.
    """
    leaves = {leaf.name: leaf for leaf in options.leaves()}
    texts = {name: arguments[_argument(name)] for name in names}
    given = {name: _value(leaves[name], text) for name, text in texts.items() if text}
    options.with_values(given)
    return given


def log_arguments(namespace: str, node: str, level: str) -> list[str]:
    """Return the process arguments that set the log level of one node alone."""
    logger = '.'.join([*namespace.strip('/').split('/'), node]).lstrip('.')
    return ['--ros-args', '--log-level', f'{logger}:={level}']


def _argument(name: str) -> str:
    return name.rpartition('.')[2]


def _value(leaf: Option, text: str) -> Any:
    if leaf.type is str:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"argument '{_argument(leaf.name)}': '{text}' is no value") from error


def _allowed(leaf: Option) -> str:
    if leaf.choices is None:
        return ''
    return ', '.join(str(choice) for choice in leaf.choices) + '; '
