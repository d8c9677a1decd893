"""
Let the process keep the memory that it frees, so that the next image finds it ready.

SIFT of a small image takes and frees some 40 MB. The C library's default gives such blocks back to
the system at once, and the system clears every page of them again for the next image: a quarter of
the time of SIFT went there.
"""

from __future__ import annotations

import ctypes
import os

KEPT_BYTES = 512 << 20
"""Most that a heap keeps at its end: SIFT of an image 1600 pixels wide needs little less."""

_LARGEST_FROM_HEAP = 32 << 20
"""Larger blocks always come from the system; glibc allows no more (mallopt(3))."""

_TUNED = {
    'MALLOC_TRIM_THRESHOLD_',
    'MALLOC_TOP_PAD_',
    'MALLOC_MMAP_THRESHOLD_',
    'MALLOC_MMAP_MAX_',
}

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """
    Have glibc's allocator keep what is freed; for programs, as it holds for the whole process.

    The peak of one thread stays as it is; each of many workers keeps what it took itself. Who has
    tuned the allocator by the environment (``MALLOC_TRIM_THRESHOLD_``, ``GLIBC_TUNABLES``) keeps
    those settings; another allocator that is loaded in its place does as it likes.

    :returns: whether glibc took it.
    """
    if _TUNED & os.environ.keys() or 'glibc.malloc' in os.environ.get('GLIBC_TUNABLES', ''):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:  # not glibc
        return False
    kept = mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    # Without a threshold of its own glibc would sooner or later hand out blocks of any size singly.
    return bool(kept and mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP))


def return_freed_memory() -> None:
    """
    Give what is freed back to the system: after what was large and does not come again soon.

    The first image afterwards takes its memory anew.
    """
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:  # glibc
        trim(0)
