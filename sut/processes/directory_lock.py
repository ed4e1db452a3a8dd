"""A lock on an output directory, held by a command and inherited by the runs that it starts.

The kernel releases it with the last process that holds it, so a killed command leaves no stale lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sut.errors import UsageError

NAME = ".lock"
_PATIENCE_S = 20.0  # how long to wait for the runs of an interrupted command
_POLL_S = 0.2
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def held(folder: Path, kind: str, flag: str = "--output-dir", patience_s: float = _PATIENCE_S) -> Iterator[int]:
    """Create `folder` if necessary and lock it; yields a file descriptor that children may inherit.

    Args:
        kind: the kind of command, for the message: "submission", "sweep".
        flag: the flag that names the folder.
        patience_s: the runs of a killed command hold the lock for some seconds until they exit.

    Raises:
        UsageError: it cannot be written, or another command of the kind uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _taken(folder, patience_s)
    except (OSError, ValueError) as error:
        raise UsageError(f"expected to write to {folder}, found: {error}. Type another {flag}.") from error
    if lock is None:
        raise UsageError(
            f"expected {folder} to be free, found that another {kind} uses it. Wait for its end, or type "
            f"another {flag}."
        )
    try:
        yield lock
    finally:
        os.close(lock)


def remove(folder: Path) -> None:
    """Remove the lock's file. Only the process that holds the lock may do so."""
    with suppress(OSError):
        (folder / NAME).unlink()


def _taken(folder: Path, patience_s: float) -> int | None:
    until_s = time.monotonic() + patience_s
    while (lock := _try(folder / NAME)) is None:
        if time.monotonic() >= until_s:
            return None
        print(f"waiting for another process that uses {folder}", end="\r", file=sys.stderr)
        time.sleep(_POLL_S)
    return lock


def _try(path: Path) -> int | None:
    """The descriptor that holds the lock; None if another process does. A file system without locks has none."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return lock
        if not isinstance(error, BlockingIOError | FileNotFoundError):  # removed by its holder, who is done
            os.close(lock)
            raise
    os.close(lock)
    return None
