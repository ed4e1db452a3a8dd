"""The log directory: claimed before anything is loaded, and removed again if the run does not start."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from foundation import log_files
from sut.errors import UsageError

_LOG_BYTES = 32 << 20  # space for LoadGen's logs in addition to the answers
# An answer is logged in hexadecimal: two characters per byte, two float32 per token.
_BYTES_PER_LOGGED_TOKEN = 16


def claim(log_dir: Path, logged_tokens: int) -> tuple[Path, ...]:
    """Create `log_dir`; check that it holds no run, is writable, and has space for the answers.

    Returns:
        The directories that were made, the deepest first: what `release` takes.

    Raises:
        UsageError: a check fails.
    """
    try:
        _refuse_a_run(log_dir)
        made = tuple(path for path in (log_dir, *log_dir.parents) if not path.exists())
        log_dir.mkdir(parents=True, exist_ok=True)
        (log_dir / log_files.RUN).touch()
        (log_dir / log_files.RUN).unlink()
        free = shutil.disk_usage(log_dir).free
    except OSError as error:
        raise UsageError(f"expected to write logs to {log_dir}, found: {error}. Type another --log-dir.") from error
    needed = _LOG_BYTES + logged_tokens * _BYTES_PER_LOGGED_TOKEN
    if free < needed:
        release(made)
        raise UsageError(
            f"expected {needed >> 20} MiB of disk space for the logs in {log_dir}, found {free >> 20} MiB free. "
            "Free some space, or type another --log-dir."
        )
    return made


def _refuse_a_run(log_dir: Path) -> None:
    for name in (log_files.RUN, log_files.DETAIL, log_files.ACCURACY):
        if (log_dir / name).exists():
            raise UsageError(
                f"expected a log directory without a run, found {name} in {log_dir}. Type another --log-dir."
            )


def release(made: Iterable[Path]) -> None:
    """Remove the directories that `claim` made, if they are empty."""
    with contextlib.suppress(OSError):
        for path in made:
            path.rmdir()
