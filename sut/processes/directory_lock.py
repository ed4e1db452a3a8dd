"""One command at work in an output directory: a lock on it that the runs which the command starts hold too.

The kernel drops it with the last process that has it, so nothing that was killed leaves it behind.
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
_PATIENCE_S = 20.0  # for what an interrupted command left to end
_POLL_S = 0.2


@contextmanager
def held(folder: Path, kind: str) -> Iterator[int]:
    """A lock on `folder`, which is made if need be: a file descriptor that children may inherit.

    Args:
        kind: what works there, for the message: "submission", "sweep".

    Raises:
        UsageError: it cannot be written, or another of the kind is at work there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"expected to write to {folder}, found: {error}. Take another --output-dir.") from error
    try:
        _take(lock, folder, kind)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int, folder: Path, kind: str) -> None:
    """The runs of a command that was killed end within seconds; they hold the lock until then."""
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise UsageError(
                    f"expected {folder} to myself, found another {kind} at work in it. Wait for its end, or take "
                    "another --output-dir."
                ) from None
            print(f"waiting for what still works in {folder} to end", end="\r", file=sys.stderr)
            time.sleep(_POLL_S)
