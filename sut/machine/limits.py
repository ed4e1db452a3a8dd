"""The limits of a machine: files, processes, memory, disks. Each error names its limit and what to raise or lower."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sut.errors import RunFailedError

_LOWER = "or lower --instances"
_REMEDIES = {
    errno.EMFILE: f"Raise the limit of open files (ulimit -n), {_LOWER}",
    errno.ENFILE: f"Raise the limit of open files (fs.file-max), {_LOWER}",
    errno.EAGAIN: f"Raise the limit of processes (ulimit -u, the container's pids.max), {_LOWER}",
    errno.ENOMEM: f"Raise the limit of memory (ulimit -v, the container's), {_LOWER} or --max-batch-tokens",
    errno.EFBIG: "Raise the limit of a file's size (ulimit -f)",
    errno.ENOSPC: "Free space there, or in the directory of temporary files (TMPDIR)",
    errno.EROFS: "Make it writable",
    errno.EACCES: "Make it writable",
    errno.ENOENT: "Make it again, or type the command in a directory that exists",
}


_NO_THREADS = ("start new thread", os.strerror(errno.EAGAIN))  # what Python and C++ call EAGAIN


@contextmanager
def named(what: str) -> Iterator[None]:
    """Errors of the operating system inside the block as a RunFailedError.

    Args:
        what: what was tried, as in "expected to …".
    """
    try:
        yield
    except OSError as error:
        raise RunFailedError(f"expected to {what}, found: {error}. {_remedy(error.errno)}.") from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _NO_THREADS):
            raise
        raise RunFailedError(f"expected to {what}, found: {error}. {_REMEDIES[errno.EAGAIN]}.") from error


def _remedy(number: int | None) -> str:
    return _REMEDIES.get(number or 0, "Check the machine")
