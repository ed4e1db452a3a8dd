"""Clears the operating system's page cache before a run, and says what was really done.

Without the right to drop the whole cache, the pages of the run's own files are given up, which needs no right.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PAGE_CACHE, DATA_FILES = "page cache", "pages of the data files"
_DROP = Path("/proc/sys/vm/drop_caches")
_ALL = "3"  # pages, directory entries and inodes


def clear(data: Iterable[Path], drop: Path = _DROP) -> str | None:
    """Clear caches; returns what was cleared, None for nothing.

    Args:
        data: the run's files and directories.
        drop: the kernel's file for it.
    """
    os.sync()  # pages that are not written yet cannot be dropped
    with suppress(OSError):
        drop.write_text(_ALL, encoding="ascii")
        return PAGE_CACHE
    files = [file for path in data for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return DATA_FILES if hasattr(os, "posix_fadvise") and files and all(map(_give_up, files)) else None


def _give_up(file: Path) -> bool:
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
