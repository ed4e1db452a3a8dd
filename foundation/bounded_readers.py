"""Readers of files that a user names: regular files up to a size limit, decoded and parsed or refused.

Anything may be at a given path: a directory, a FIFO that never answers, a disk image, JSON nested ten thousand deep.
Each ends in an `UnreadableError` with a short reason, which the caller puts into its own message.
"""

from __future__ import annotations

import json
import os
import select
import stat
import tomllib
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 30  # limit for a data set; settings files have lower ones
SETTINGS_BYTES = 16 << 20
_PIECE_BYTES = 1 << 16  # of a pipe, at a time
_PATIENCE_S = 60  # for the writer of a pipe


class UnreadableError(ValueError):
    """A short reason why the content of a file cannot be used."""


def read_bytes(path: Path, most_bytes: int = MOST_BYTES, *, pipes: bool = False) -> bytes:
    """The content of a regular file (links are followed).

    Args:
        pipes: whether it may be a pipe, such as /dev/stdin or <(command): only for what is read once.

    Raises:
        UnreadableError: it does not exist, cannot be read, is not a regular file, or has more than `most_bytes`.
    """
    try:
        if pipes and stat.S_ISFIFO(path.stat().st_mode):
            return _read_pipe(path, most_bytes)
        size = require_regular(path)
        content = b"" if size > most_bytes else _read_file(path, size, most_bytes)
    except (OSError, ValueError) as error:
        raise UnreadableError(getattr(error, "strerror", None) or str(error)) from error
    if max(size, len(content)) > most_bytes:
        raise UnreadableError(f"more than {most_bytes:,} bytes")
    return content


def is_file(path: Path) -> bool:
    """Whether there is a regular file; False for a path that is too long, or may not be looked at."""
    try:
        return path.is_file()
    except OSError:
        return False


def require_regular(path: Path) -> int:
    """The size of a regular file in bytes: for a file that is read piece by piece, or mapped.

    Raises:
        UnreadableError: it does not exist, cannot be looked at, or is not a regular file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise UnreadableError(getattr(error, "strerror", None) or str(error)) from error
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableError("a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file")
    return found.st_size


def _read_file(path: Path, size: int, most_bytes: int) -> bytes:
    """Up to one byte more than `most_bytes`. `size` is what the file says, which is 0 in /proc, and may grow."""
    with path.open("rb") as file:
        pieces = [file.read(size + 1)]  # not of `most_bytes`, for which Python would take all the memory at once
        while pieces[-1] and sum(map(len, pieces)) <= most_bytes:
            pieces.append(file.read(_PIECE_BYTES))
    return b"".join(pieces)[: most_bytes + 1]


def _read_pipe(path: Path, most_bytes: int) -> bytes:
    """What a pipe's writer writes until it closes it."""
    content, closed = bytearray(), False
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as pipe:
        waiting = select.poll()
        waiting.register(pipe, select.POLLIN)
        while len(content) <= most_bytes:
            piece = pipe.read(_PIECE_BYTES)  # None: nothing yet; b"": the end, or no writer yet
            if piece == b"" and content:
                return bytes(content)
            if piece == b"" and closed:
                raise UnreadableError("a pipe that was closed before anything came")
            if not piece:
                found = waiting.poll(1000 * _PATIENCE_S)
                if not found:
                    raise UnreadableError(f"a pipe into which nothing came for {_PATIENCE_S} s")
                closed = bool(found[0][1] & select.POLLHUP)
            content += piece or b""
    raise UnreadableError(f"more than {most_bytes:,} bytes")


def read_text(path: Path, most_bytes: int = MOST_BYTES, *, pipes: bool = False) -> str:
    """The content as UTF-8, with or without a byte order mark. Raises UnreadableError."""
    return _decoded(read_bytes(path, most_bytes, pipes=pipes))


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"text that is not UTF-8 ({error.reason} at byte {error.start})") from error


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """The content as JSON. Raises UnreadableError."""
    return parse_json(read_bytes(path, most_bytes))


def parse_json(content: str | bytes) -> Any:
    """Parse JSON. Raises UnreadableError, also for deep nesting and very long numbers."""
    text = _decoded(content) if isinstance(content, bytes) else content
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UnreadableError("JSON that is nested too deeply") from error
    except ValueError as error:  # invalid JSON, or an integer with more digits than Python converts
        raise UnreadableError(f"text that is not JSON ({error})") from error


def read_toml(path: Path, most_bytes: int = MOST_BYTES, *, pipes: bool = False) -> dict[str, Any]:
    """The content as TOML. Raises UnreadableError."""
    text = read_text(path, most_bytes, pipes=pipes)
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UnreadableError("TOML that is nested too deeply") from error
    except ValueError as error:
        raise UnreadableError(f"text that is not TOML ({error})") from error
