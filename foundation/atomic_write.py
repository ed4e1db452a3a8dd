"""Files and directories that are either the old one or the new one, whole, whatever happens in between.

Each is written under a temporary name in its own directory and renamed. What is killed in between leaves that name
behind, `.<name>.<number>.part`, and nothing else.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_NAME_CHARACTERS = 48  # of the final name in the temporary one: a file system takes 255 bytes


def write_text(path: Path, text: str) -> Path:
    """As `write_bytes`, in UTF-8."""
    return write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> Path:
    """Put a file with this content at `path`; returns `path`.

    Raises:
        OSError: the disk does not take it. The file that was at `path` before, if any, is unchanged.
    """
    with replacing(path) as file:
        file.write(content)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which is flushed to the disk and takes the place of `path` when the block ends.

    Where the block raises, it is removed, and `path` stays as it was. A link is followed; what is no regular file, such
    as /dev/stdout, is written to as it is.

    Raises:
        OSError: as `write_bytes` does.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
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
    """An empty directory to fill, which takes the place of `path` when the block ends; not flushed to the disk.

    Where the block raises, it is removed. A directory at `path` that `is_whole` stays: another process was first, and
    others may be reading it.

    Raises:
        OSError: the disk does not take it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        if not is_whole(path):
            shutil.rmtree(path, ignore_errors=True)
            _rename(temporary, path, is_whole)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: Path, path: Path, is_whole: Callable[[Path], bool]) -> None:
    try:
        temporary.replace(path)
    except OSError:
        if not is_whole(path):  # else another process was first after all
            raise


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:_NAME_CHARACTERS]}.{os.getpid()}-{secrets.token_hex(4)}.part")
