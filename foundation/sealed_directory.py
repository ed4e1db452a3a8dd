"""A directory of files with their sha256 next to them: a file that is cut, replaced or damaged is noticed.

Hashing a gigabyte takes up to three seconds, too long for every start. So a verification is noted together with the
files' stamps and the boot, and is repeated after a change and once after each restart: a crash of the machine may lose
what was written, and a disk may lose what it has.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from foundation import atomic_write, file_stamps
from foundation.bounded_readers import UnreadableError, read_json, read_text

SUMS = "SHA256SUMS"  # in the form of sha256sum, which checks it too
_VERIFIED = ".verified.json"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\n\0]+)\n")
_MOST_BYTES = 1 << 20  # of these two
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def seal(directory: Path) -> None:
    """Write the digests of all files in `directory`, after they are synced to disk. Raises OSError."""
    paths = sorted(path for path in directory.glob("[!.]*") if path.is_file() and path.name != SUMS)
    for path in paths:
        _sync(path)
    text = _sums(paths)
    atomic_write.write_text(directory / SUMS, text)
    _note(directory, text, paths)


def is_sealed(directory: Path) -> bool:
    """Whether the directory has digests."""
    return (directory / SUMS).is_file()


def is_intact(directory: Path) -> bool:
    """Whether it has digests, and every file in them is what was written."""
    try:
        text = read_text(directory / SUMS, _MOST_BYTES)
        names = [name for _, name in _LINE.findall(text)]
        if not names or "".join(f"{digest}  {name}\n" for digest, name in _LINE.findall(text)) != text:
            return False
        paths = [directory / name for name in names]
        if _is_noted(directory, text, paths):
            return True
        found = _sums(paths)
    except (OSError, UnreadableError):
        return False
    if found == text:
        with suppress(OSError):  # a directory of another user: it is verified again next time
            _note(directory, text, paths)
    return found == text


def _sums(paths: Iterable[Path]) -> str:
    return "".join(f"{_digest(path)}  {path.name}\n" for path in paths)


def _digest(path: Path) -> str:
    with open(_open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_regular(path: Path) -> int:
    """Open for reading, without waiting for the writer of a pipe. Raises OSError for what is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file")
    return descriptor


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _state(text: str, paths: Iterable[Path]) -> Any:
    """What a verification depends on, as JSON."""
    boot = _BOOT.read_text(encoding="ascii").strip() if _BOOT.is_file() else ""
    stamps = {path.name: file_stamps.of(path) for path in paths}
    return [boot, text, {name: None if stamp is None else list(astuple(stamp)) for name, stamp in stamps.items()}]


def _note(directory: Path, text: str, paths: Iterable[Path]) -> None:
    atomic_write.write_text(directory / _VERIFIED, json.dumps(_state(text, paths)))


def _is_noted(directory: Path, text: str, paths: Iterable[Path]) -> bool:
    with suppress(UnreadableError, OSError):
        return bool(read_json(directory / _VERIFIED, _MOST_BYTES) == _state(text, paths))
    return False
