"""Where and in which numbers torch computes, and what to say when its memory is full."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import torch

from hloc_localizer.errors import HlocLocalizerError, InputError

_LOG = logging.getLogger(__name__)


def resolve_device(name: str) -> torch.device:
    """
    Return the device that an option names; ``auto`` is the first GPU, or the CPU without one.

    :raises InputError: for a name that is none, or a GPU that is not there.
    """
    if name == 'auto':
        return torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device '{name}': expected auto, cpu, cuda or cuda:N") from error
    if device.type == 'cpu':
        return torch.device('cpu')
    if device.type != 'cuda':
        raise InputError(f"device '{name}': expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.index or 0
    if index >= count:
        raise InputError(
            f"device '{name}': torch {torch.__version__} sees {count} CUDA devices; "
            'set device to auto or cpu'
        )
    return torch.device('cuda', index)


def compute_type(device: torch.device, precision: str) -> torch.dtype:
    """Return the number type of a matcher for the option ``precision``."""
    if precision != 'auto':
        return {
            'float32': torch.float32,
            'bfloat16': torch.bfloat16,
            'float16': torch.float16,
        }[precision]
    if device.type == 'cuda':
        return torch.float16
    return torch.bfloat16 if _multiplies_bfloat16() else torch.float32


def limit_threads(threads: int) -> None:
    """Set the number of threads that torch uses on the CPU; 0 leaves it."""
    if threads > 0:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def memory_guard(device: torch.device, remedy: str) -> Iterator[None]:
    """
    Turn "out of memory" of a GPU into one line.

    :param remedy: the settings that help, for example ``lower retrieval.learned_candidates``.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise HlocLocalizerError(
            f'{device} is out of memory: {remedy}, or set device to cpu'
        ) from error


def release_memory(device: torch.device) -> None:
    """Give the memory that torch keeps for later back to the device."""
    if device.type == 'cuda':
        torch.cuda.empty_cache()


def describe_device(device: torch.device) -> str:
    """Return the device in words, for the log."""
    if device.type == 'cuda':
        return f'{device} ({torch.cuda.get_device_name(device)})'
    return f'cpu ({torch.get_num_threads()} threads)'


def _multiplies_bfloat16() -> bool:
    """Tell whether this CPU has instructions for bfloat16 products."""
    test = getattr(torch.cpu, '_is_avx512_bf16_supported', None)  # torch 2.6 and later
    return bool(test is not None and test())
