"""Atomic writes: a reader sees the old file or directory or the complete new one, never a part.

Each is written under a temporary name in the same directory and renamed. A process that is killed meanwhile leaves the
temporary file, `.<name>.<number>.part`, and nothing else; the next directory that is written there removes directories
that were left like that.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from foundation import held_directory

_TEMPORARIES = ".*.*-????????.part"  # what `_temporary` makes
_NAME_CHARACTERS = 48  # of the final name in the temporary one: file systems allow 255 bytes


def write_text(path: Path, text: str) -> Path:
    """Write text in UTF-8, half a surrogate pair as an escape, which JSON reads; see `write_bytes`."""
    return write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file with this content to `path`; returns `path`.

    Raises:
        OSError: it cannot be written. The file that was at `path` before, if any, is unchanged.
    """
    with replacing(path) as file:
        file.write(content)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file to write, which is synced to disk and replaces `path` when the block ends.

    If the block raises, it is removed and `path` is unchanged. Links are followed; a path that is not a regular file,
    such as /dev/stdout, is written to directly.

    Raises:
        OSError: as `write_bytes` does.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))  # a loop of links is left for open() to refuse
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_directory(path: Path, is_whole: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty directory to fill, which replaces `path` when the block ends; it is not synced to disk.

    If the block raises, it is removed. An existing directory that `is_whole` is kept: another process was first, and
    others may be reading it.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held_directory.remove_left(path.parent, _TEMPORARIES)
    temporary, descriptor = held_directory.make(lambda: _temporary(path))
    try:
        yield temporary
        if not _rename(temporary, path, is_whole):
            shutil.rmtree(path, ignore_errors=True)
            if not _rename(temporary, path, is_whole):
                temporary.replace(path)  # raises the reason
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(descriptor)


def _rename(temporary: Path, path: Path, is_whole: Callable[[Path], bool]) -> bool:
    """Whether `path` is whole now: renamed, or of another process; False if an incomplete one is in the way.

    Renamed first and looked at afterwards, so that what another process has just put there is never removed.
    """
    try:
        temporary.replace(path)
    except OSError:
        return is_whole(path)
    return True


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:_NAME_CHARACTERS]}.{os.getpid()}-{secrets.token_hex(4)}.part")
