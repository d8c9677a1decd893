"""Options as frozen dataclasses: one definition serves Python, YAML, the command line and ROS."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast, get_type_hints

import yaml

from hloc_localizer.errors import InputError

_OptionsT = TypeVar('_OptionsT', bound='Options')


def option(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """
    Declare one option of an :class:`Options` dataclass.

    :param default: its value when nobody sets it; for nested options, the class itself.
    :param description: one sentence, shown in ``--help`` and in the ROS parameter description.
    :param minimum: smallest allowed value, inclusive.
    :param maximum: largest allowed value, inclusive.
    :param choices: the allowed values, where they can be listed.
    """
    metadata = {
        'description': description,
        'minimum': minimum,
        'maximum': maximum,
        'choices': None if choices is None else tuple(choices),
    }
    if isinstance(default, type) and issubclass(default, Options):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Option:
    """One leaf of an option tree, as the command line and the ROS parameters see it."""

    name: str
    """Dotted path from the root, for example ``absolute_pose.max_error_px``."""
    type: type
    value: Any
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...] | None


@dataclasses.dataclass(frozen=True)
class Options:
    """Base of all option dataclasses. Leaves are bool, int, float, str or tuples of those."""

    def check(self) -> None:
        """Raise :class:`InputError` naming the first field whose value is not allowed."""
        for leaf in self.leaves():
            _check_leaf(leaf)

    def leaves(self, prefix: str = '') -> Iterator[Option]:
        """Yield every leaf option with its dotted name and present value."""
        hints = _hints(cast('Any', type(self)))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            name = f'{prefix}{field.name}'
            if isinstance(value, Options):
                yield from value.leaves(f'{name}.')
            else:
                yield Option(
                    name=name,
                    type=_leaf_type(hints[field.name]),
                    value=value,
                    description=field.metadata.get('description', ''),
                    minimum=field.metadata.get('minimum'),
                    maximum=field.metadata.get('maximum'),
                    choices=field.metadata.get('choices'),
                )

    def with_values(self: _OptionsT, values: Mapping[str, Any]) -> _OptionsT:
        """
        Return a checked copy with some leaves replaced.

        :param values: nested mapping (as YAML gives it), or dotted names to values, or a mix.
        :raises InputError: for an unknown name (with the nearest known one) or a wrong value.
        """
        changed = self
        known = {leaf.name: leaf for leaf in self.leaves()}
        for name, value in _flatten(values):
            changed = _replace(changed, known, name, value)
        changed.check()
        return changed

    def with_assignments(self: _OptionsT, assignments: Sequence[str]) -> _OptionsT:
        """Return a checked copy changed by ``name=value`` texts, values written as in YAML."""
        values: dict[str, Any] = {}
        for assignment in assignments:
            name, equals, text = assignment.partition('=')
            if not equals or not name.strip():
                raise InputError(f"option '{assignment}': expected name=value")
            try:
                values[name.strip()] = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise InputError(f"option '{name.strip()}': '{text}' is not a value") from error
        return self.with_values(values)

    def as_dict(self) -> dict[str, Any]:
        """Return the options as nested plain values, ready for YAML."""
        return cast('dict[str, Any]', _plain(dataclasses.asdict(self)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """Return the types of the fields of a class; working them out takes its time."""
    return get_type_hints(kind)


def _leaf_type(hint: Any) -> type:
    return cast('type', getattr(hint, '__origin__', hint))


def _flatten(values: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def _replace(options: _OptionsT, known: Mapping[str, Option], name: str, value: Any) -> _OptionsT:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f'; known: {", ".join(sorted(known))}'
        raise InputError(f"unknown option '{name}'{hint}")
    return _replace_path(options, name.split('.'), _converted(known[name], value))


def _replace_path(options: _OptionsT, path: Sequence[str], value: Any) -> _OptionsT:
    head, rest = path[0], path[1:]
    changed = _replace_path(getattr(options, head), rest, value) if rest else value
    return cast('_OptionsT', dataclasses.replace(cast('Any', options), **{head: changed}))


def _converted(leaf: Option, value: Any) -> Any:
    if leaf.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if leaf.type is float and isinstance(value, str):
        # YAML 1.1 takes 1e-3 for a text.
        with contextlib.suppress(ValueError):
            return float(value)
    if leaf.type is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if leaf.type is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value


def _check_leaf(leaf: Option) -> None:
    value = leaf.value
    wrong_bool = isinstance(value, bool) != (leaf.type is bool)
    if wrong_bool or not isinstance(value, leaf.type):
        raise InputError(f"option '{leaf.name}': {value!r} is not of type {leaf.type.__name__}")
    if leaf.choices is not None and value not in leaf.choices:
        allowed = ', '.join(str(choice) for choice in leaf.choices)
        raise InputError(f"option '{leaf.name}': {value!r} is not one of {allowed}")
    if isinstance(value, float) and math.isnan(value):
        raise InputError(f"option '{leaf.name}': not a number")
    number: Any = value
    if leaf.minimum is not None and number < leaf.minimum:
        raise InputError(f"option '{leaf.name}': {value!r} is below {leaf.minimum}")
    if leaf.maximum is not None and number > leaf.maximum:
        raise InputError(f"option '{leaf.name}': {value!r} is above {leaf.maximum}")
