"""Read the tensors of a checkpoint, and never the code that a pickle can carry."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

Tensors = dict[str, 'Tensor']


def read_tensors(path: Path) -> dict[str, Any]:
    """
    Read a file written by ``torch.save``: tensors by name, possibly nested.

    :raises InputError: when the file is no such file, or its pickle holds more than tensors.
    """
    import torch

    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f'weights {path}: refused, the file holds something other than tensors'
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, IndexError) as error:
        first_line = (str(error).splitlines() or [''])[0]
        raise InputError(f'weights {path}: not a checkpoint of torch ({first_line})') from error
    if not isinstance(content, dict):
        raise InputError(f'weights {path}: holds a {type(content).__name__}, not named tensors')
    return content


def load_into(
    module: nn.Module,
    tensors: dict[str, Any],
    path: Path,
    *,
    ignored: Callable[[str], bool] = lambda _: False,
) -> None:
    """
    Fill a module with exactly the tensors it has.

    :param ignored: says which names of the file are known and not used.
    :raises InputError: when a tensor lacks, is left over or has another shape: another model.
    """
    own = module.state_dict()
    given = {name: value for name, value in tensors.items() if not ignored(name)}
    _refuse(path, 'lacks', (name for name in own if name not in given))
    _refuse(path, 'has the unknown', (name for name in given if name not in own))
    shapes = (name for name, value in own.items() if value.shape != given[name].shape)
    _refuse(path, 'has another shape of', shapes)
    module.load_state_dict(given)


def _refuse(path: Path, what: str, names: Iterable[str]) -> None:
    wrong = sorted(names)
    if wrong:
        more = f' and {len(wrong) - 1} more' if len(wrong) > 1 else ''
        raise InputError(f"weights {path}: another model, it {what} '{wrong[0]}'{more}")
