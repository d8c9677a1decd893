"""Front ends by name: what a map records and a localizer follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hloc_localizer.errors import InputError
from hloc_localizer.features.learned.choose import choose_front_end
from hloc_localizer.features.learned.options import (
    AlikedOptions,
    DiskOptions,
    LearnedOptions,
    SuperPointOptions,
    XFeatOptions,
)
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.features.sift import Sift, SiftOptions
from hloc_localizer.options import Options


def _create_sift(options: Options) -> FrontEnd:
    assert isinstance(options, SiftOptions)
    return Sift(options)


def _learned(name: str) -> Callable[[Any], FrontEnd]:
    def create(options: Options) -> FrontEnd:
        assert isinstance(options, LearnedOptions)
        try:  # torch is imported here and nowhere before
            from hloc_localizer.features.learned.create import create_learned
        except ModuleNotFoundError as error:
            raise InputError(
                f"front end '{name}' needs {error.name}: install torch and kornia, or use sift"
            ) from error
        return create_learned(name, options)

    return create


_FRONT_ENDS: dict[str, tuple[type[Options], Callable[[Any], FrontEnd]]] = {
    'sift': (SiftOptions, _create_sift),
    'xfeat': (XFeatOptions, _learned('xfeat')),
    'aliked': (AlikedOptions, _learned('aliked')),
    'disk': (DiskOptions, _learned('disk')),
    'superpoint': (SuperPointOptions, _learned('superpoint')),
}


def front_end_names() -> tuple[str, ...]:
    """Return the names that :func:`create_front_end` knows."""
    return tuple(_FRONT_ENDS)


def front_end_options(name: str) -> type[Options]:
    """
    Return the class of a front end's options.

    :raises InputError: for an unknown name.
    """
    if name not in _FRONT_ENDS:
        raise InputError(f"front end '{name}' is not known; known: auto, {', '.join(_FRONT_ENDS)}")
    return _FRONT_ENDS[name][0]


def create_front_end(name: str, values: Mapping[str, Any] | None = None) -> FrontEnd:
    """
    Make a front end; ``auto`` is the best that this machine can run, see its :attr:`name`.

    :param values: its options as nested or dotted values; those not named keep their defaults.
    :raises InputError: for an unknown name or option, a wrong value, or missing weights.
    """
    if name == 'auto':
        name, _ = choose_front_end(dict.fromkeys(_FRONT_ENDS, values or {}))
    options = front_end_options(name)().with_values(values or {})
    return _FRONT_ENDS[name][1](options)
