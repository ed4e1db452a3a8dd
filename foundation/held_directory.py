"""Temporary directories that a lock holds while they are filled, so that those of killed processes are recognised.

The kernel releases the lock of a process that is killed. Where a file system has no locks, nothing is held and nothing
is removed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

_OURS = "mlperf-bert-sut"  # in names among other programs' directories
_Held = Literal["ours", "another's", "unknown"]


@contextmanager
def temporary(name: str) -> Iterator[Path]:
    """A directory for the block where the system has its temporary files, for this user alone.

    Args:
        name: of what it is for; those of killed processes with the same name are removed.
    """
    root, start = Path(tempfile.gettempdir()), f"{_OURS}-{name}-"
    remove_left(root, f"{start}*.part")
    folder, descriptor = make(lambda: root / f"{start}{secrets.token_hex(8)}.part", mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def make(name: Callable[[], Path], mode: int = 0o777) -> tuple[Path, int]:
    """Make a directory and hold it; returns it with the descriptor that must be closed in the end.

    Args:
        name: a path that is not used yet, another one at each call.
        mode: its rights, less the umask.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        folder = name()
        folder.mkdir(mode)
        with suppress(FileNotFoundError):  # taken for a leftover before it was held
            descriptor = _open(folder)
            if _hold(descriptor) != "another's" and os.path.samestat(os.fstat(descriptor), folder.stat()):
                return folder, descriptor
            os.close(descriptor)


def remove_left(folder: Path, pattern: str) -> None:
    """Remove this user's directories in `folder` with names of this pattern that no process holds any more."""
    for found in folder.glob(pattern):
        with suppress(OSError):
            descriptor = _open(found)
            is_own = os.fstat(descriptor).st_uid == os.geteuid()
            if is_own and _hold(descriptor) == "ours":
                shutil.rmtree(found, ignore_errors=True)
            os.close(descriptor)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _hold(descriptor: int) -> _Held:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another's"
    except OSError:
        return "unknown"
    return "ours"
