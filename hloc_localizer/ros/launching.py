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

    An argument that is not given leaves the parameter to ``params_file``.

    :param names: of leaves of the options, which are also the names of the arguments.
    :param required: those without which the launch stops and says so.
    """
    leaves = {leaf.name: leaf for leaf in options.leaves()}
    for name in names:
        if name in required:
            yield {'name': name, 'description': leaves[name].description}
        else:
            description = f'{leaves[name].description} ({_allowed(leaves[name])}{_AS_IN_FILE})'
            yield {'name': name, 'description': description, 'default_value': ''}


def given_parameters(
    options: Options, names: Sequence[str], arguments: Mapping[str, str]
) -> dict[str, Any]:
    """
    Return the parameters whose launch argument was given, in their own types.

    :param arguments: the text of each launch argument; empty: not given.
    :raises InputError: for a text that is no value of its parameter.
    """
    leaves = {leaf.name: leaf for leaf in options.leaves()}
    given = {name: _value(leaves[name], arguments[name]) for name in names if arguments[name]}
    options.with_values(given)
    return given


def _value(leaf: Option, text: str) -> Any:
    if leaf.type is str:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"argument '{leaf.name}': '{text}' is not a value") from error


def _allowed(leaf: Option) -> str:
    if leaf.choices is None:
        return ''
    return ', '.join(str(choice) for choice in leaf.choices) + '; '
