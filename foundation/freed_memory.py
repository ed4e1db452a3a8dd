"""Freed memory that a process keeps for its next batch.

glibc returns large freed blocks to the kernel, which clears every page again for every batch.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_MOST_OF_OLD = 32 << 20  # bytes, the largest block that older versions of glibc keep
_MOST = 2**31 - 1


def keep(most: int = _MOST_OF_OLD) -> None:
    """Keep freed blocks of up to `most` bytes, where the C library can: call it after loading, to return that memory.

    Where glibc is too old for `most`, 32 MiB count instead.
    """
    with suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        if not mallopt(_M_MMAP_THRESHOLD, min(most, _MOST)):
            mallopt(_M_MMAP_THRESHOLD, _MOST_OF_OLD)
        mallopt(_M_TRIM_THRESHOLD, _MOST)
