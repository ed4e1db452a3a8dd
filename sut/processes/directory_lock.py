"""A lock on an output directory, held by a command and inherited by the runs that it starts.

The kernel releases it with the last process that holds it, so a killed command leaves no stale lock.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sut.errors import UsageError

NAME = ".lock"
_PATIENCE_S = 20.0  # how long to wait for the runs of an interrupted command
_POLL_S = 0.2


@contextmanager
def held(folder: Path, kind: str) -> Iterator[int]:
    """Create `folder` if necessary and lock it; yields a file descriptor that children may inherit.

    Args:
        kind: the kind of command, for the message: "submission", "sweep".

    Raises:
        UsageError: it cannot be written, or another command of the kind uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"expected to write to {folder}, found: {error}. Type another --output-dir.") from error
    try:
        _take(lock, folder, kind)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int, folder: Path, kind: str) -> None:
    """Take the lock; the runs of a killed command hold it for some seconds until they exit."""
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise UsageError(
                    f"expected {folder} to be free, found that another {kind} uses it. Wait for its end, or type "
                    "another --output-dir."
                ) from None
            print(f"waiting for another process that uses {folder}", end="\r", file=sys.stderr)
            time.sleep(_POLL_S)
