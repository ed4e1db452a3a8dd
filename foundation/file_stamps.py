"""Whether a file is still the one that was opened: compared by inode, size and time of modification.

A digest of a model takes seconds; this takes microseconds, and a file that is replaced, cut or written to has another
one. Only a program that sets the time back on purpose is not noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FileStamp:
    """A file at one moment; links are followed."""

    device: int
    inode: int
    size: int  # bytes
    modified_ns: int


def of(path: Path) -> FileStamp | None:
    """The stamp of a file; None if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return None
    return FileStamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def of_all(paths: Iterable[Path]) -> dict[Path, FileStamp | None]:
    """The stamp of each file."""
    return {path: of(path) for path in paths}


def changed(stamps: Mapping[Path, FileStamp | None]) -> tuple[Path, ...]:
    """The files with another stamp by now."""
    return tuple(path for path, stamp in stamps.items() if of(path) != stamp)
