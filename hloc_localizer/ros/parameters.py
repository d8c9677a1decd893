"""ROS parameters made of option dataclasses: declared, described, converted, checked."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import rclpy.exceptions
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from hloc_localizer.errors import InputError
from hloc_localizer.options import Option, Options

_OptionsT = TypeVar('_OptionsT', bound=Options)

_FOREIGN_PREFIXES = ('use_sim_time', 'qos_overrides.', 'start_type_description_service')
"""Parameters that rclpy itself owns."""

_INTEGER_LIMIT = 2**62

_SHOWN = 80
"""Characters of a name that are repeated to the one who gave it."""


def declare_options(node: Node, options: _OptionsT) -> _OptionsT:
    """
    Declare one parameter for each leaf option and return the options with the values given.

    Parameters are typed dynamically, because ROS would else refuse ``5`` for a double; the options'
    own check, with its clearer words, takes the place of the static type.

    :param node: made with ``automatically_declare_parameters_from_overrides=True``, so that a
        misspelt parameter is seen here and warned of instead of being ignored.
    :raises InputError: naming the parameter, its value and what is allowed.
    """
    values = {leaf.name: _declare(node, leaf) for leaf in options.leaves()}
    _warn_of_unknown(node, values)
    return _checked(options, values)


def read_options(node: Node, options: _OptionsT) -> _OptionsT:
    """Return the options with the present values of their declared parameters."""
    return _checked(
        options, {leaf.name: _plain(node.get_parameter(leaf.name)) for leaf in options.leaves()}
    )


def check_change(
    node: Node,
    options: Options,
    parameters: Sequence[Parameter[Any]],
    fixed_because: str,
    changeable: tuple[str, ...] = (),
) -> SetParametersResult:
    """
    Judge a change of parameters at run time.

    :param options: the options whose leaves are the node's parameters.
    :param fixed_because: empty, or why and until when the options cannot be changed now.
    :param changeable: names of those that can be changed all the same; one that ends with a dot
        is a group of them.
    """
    known = {leaf.name for leaf in options.leaves()}
    changed = {p.name: p.value for p in parameters if p.name in known}
    if not changed:
        return SetParametersResult(successful=True)
    groups = tuple(name for name in changeable if name.endswith('.'))
    fixed = [name for name in changed if name not in changeable and not name.startswith(groups)]
    if fixed_because and fixed:
        reason = f"parameter '{fixed[0]}' cannot change now: {fixed_because}"
        return SetParametersResult(successful=False, reason=reason)
    try:
        read_options(node, options).with_values(changed)
    except InputError as error:
        return SetParametersResult(successful=False, reason=_as_parameter(error))
    return SetParametersResult(successful=True)


def changed_options(
    node: Node, options: _OptionsT, parameters: Sequence[Parameter[Any]]
) -> _OptionsT:
    """Return the options as they will be after a change that :func:`check_change` allowed."""
    known = {leaf.name for leaf in options.leaves()}
    values = {p.name: p.value for p in parameters if p.name in known}
    return read_options(node, options).with_values(values)


def _declare(node: Node, leaf: Option) -> Any:
    descriptor = _descriptor(leaf)
    try:
        if node.has_parameter(leaf.name):
            node.set_descriptor(leaf.name, descriptor)
        else:
            value = list(leaf.value) if isinstance(leaf.value, tuple) else leaf.value
            node.declare_parameter(leaf.name, value, descriptor)
        return _plain(node.get_parameter(leaf.name))
    except rclpy.exceptions.InvalidParameterValueException as error:
        value = node.get_parameter(leaf.name).value
        raise InputError(
            f"parameter '{leaf.name}': {value!r} is not allowed; it must be {_allowed(leaf)}"
        ) from error


def _plain(parameter: Parameter[Any]) -> Any:
    value = parameter.value
    scalar = value is None or isinstance(value, (bool, int, float, str))
    return value if scalar else tuple(value)


def _checked(options: _OptionsT, values: dict[str, Any]) -> _OptionsT:
    try:
        return options.with_values(values)
    except InputError as error:
        raise InputError(_as_parameter(error)) from error


def _as_parameter(error: InputError) -> str:
    return str(error).replace('option ', 'parameter ', 1)


def _descriptor(leaf: Option) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=leaf.description, additional_constraints=_allowed(leaf), dynamic_typing=True
    )
    bounded = leaf.minimum is not None or leaf.maximum is not None
    lowest = -math.inf if leaf.minimum is None else leaf.minimum
    highest = math.inf if leaf.maximum is None else leaf.maximum
    if bounded and leaf.type is int:
        descriptor.integer_range = [
            IntegerRange(
                from_value=int(max(lowest, -_INTEGER_LIMIT)),
                to_value=int(min(highest, _INTEGER_LIMIT)),
            )
        ]
    elif bounded and leaf.type is float:
        limit = sys.float_info.max
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=float(max(lowest, -limit)), to_value=float(min(highest, limit))
            )
        ]
    return descriptor


def _allowed(leaf: Option) -> str:
    if leaf.choices is not None:
        return 'one of ' + ', '.join(repr(choice) for choice in leaf.choices)
    text = f'of type {leaf.type.__name__}'
    if leaf.minimum is not None:
        text += f', at least {leaf.minimum}'
    if leaf.maximum is not None:
        text += f', at most {leaf.maximum}'
    return text


def _warn_of_unknown(node: Node, known: dict[str, Any]) -> None:
    for name in node.get_parameters_by_prefix(''):
        if name in known or name.startswith(_FOREIGN_PREFIXES):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ''
        node.get_logger().warning(f"parameter '{name}' is not known and has no effect{hint}")


def checked_path(name: str, parameter: str) -> Path:
    """
    Return the path that a parameter names; nothing needs to be there.

    :raises InputError: when nothing can be there, or nobody may look: names that are too long, of
        no known user, in a folder that may not be entered.
    """
    try:
        path = Path(name).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, RuntimeError, ValueError) as error:
        shown = name if len(name) <= _SHOWN else f'{name[:_SHOWN]}...'
        why = (error.strerror if isinstance(error, OSError) else '') or str(error)
        raise InputError(f"parameter '{parameter}': {shown!r} is no usable path: {why}") from error
    return path


def paths_of(names: str, parameter: str) -> list[Path]:
    """
    Return the paths that a parameter names, separated by commas; one that exists is one.

    :raises InputError: for one that cannot be a path.
    """
    parts = [part.strip() for part in names.split(',') if part.strip()]
    if len(parts) > 1:
        try:
            whole = checked_path(names, parameter)
        except InputError:
            pass  # too long for one, perhaps
        else:
            if whole.exists():
                return [whole]  # a name with a comma in it
    return [checked_path(part, parameter) for part in parts]
