"""The log directory: held from the first moment until the run is over, and removed again if the run does not start.

A lock holds it, because a run writes its first file only when its instances are loaded: of two runs in one directory
one would otherwise lose its result.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from foundation import log_files
from foundation.foreign_text import printable
from sut.errors import UsageError
from sut.processes import directory_lock

_LOG_BYTES = 32 << 20  # space for LoadGen's logs in addition to the answers
# An answer is logged in hexadecimal: two characters per byte, two float32 per token.
_BYTES_PER_LOGGED_TOKEN = 16


@contextlib.contextmanager
def claimed(log_dir: Path) -> Iterator[None]:
    """Create `log_dir` and hold it inside the block; directories that are empty then are removed again.

    Raises:
        UsageError: it holds a run, another run uses it, it cannot be written, or its name is not UTF-8.
    """
    _refuse_bytes(log_dir)
    made = [path for path in (log_dir, *log_dir.parents) if not _exists(path, unless_known=True)]
    try:
        _refuse_a_run(log_dir)
        with directory_lock.held(log_dir, "run", "--log-dir", patience_s=0):
            try:
                _refuse_a_run(log_dir)  # one that has just ended
                yield
            finally:
                directory_lock.remove(log_dir)
    finally:
        with contextlib.suppress(OSError, ValueError):
            for path in made:
                path.rmdir()


def check_space(log_dir: Path, logged_tokens: int) -> None:
    """Raises UsageError if the disk has no space for the logs of a run that logs the answers to these tokens."""
    needed, free = _LOG_BYTES + logged_tokens * _BYTES_PER_LOGGED_TOKEN, shutil.disk_usage(log_dir).free
    if free < needed:
        raise UsageError(
            f"expected {needed >> 20} MiB of disk space for the logs in {log_dir}, found {free >> 20} MiB free. "
            "Free some space, or type another --log-dir."
        )


def _exists(path: Path, *, unless_known: bool) -> bool:
    """Whether it exists; `unless_known` for a name that is too long, has a NUL, or may not be looked at."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return unless_known


def _refuse_bytes(log_dir: Path) -> None:
    """LoadGen takes the name as UTF-8."""
    try:
        str(log_dir).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"expected the name of a log directory in UTF-8, found {printable(str(log_dir))}. Type another --log-dir."
        ) from error


def _refuse_a_run(log_dir: Path) -> None:
    for name in (log_files.RUN, log_files.DETAIL, log_files.ACCURACY):
        if _exists(log_dir / name, unless_known=False):
            raise UsageError(
                f"expected a log directory without a run, found {name} in {log_dir}. Type another --log-dir."
            )
