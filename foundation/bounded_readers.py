"""Readers of files that a user names: regular files up to a size limit, decoded and parsed or refused.

Anything may be at a given path: a directory, a FIFO that never answers, a disk image, JSON nested ten thousand deep.
Each ends in an `UnreadableError` with a short reason, which the caller puts into its own message.
"""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 30  # limit for a data set; settings files have lower ones
SETTINGS_BYTES = 16 << 20


class UnreadableError(ValueError):
    """A short reason why the content of a file cannot be used."""


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a regular file (links are followed).

    Raises:
        UnreadableError: it does not exist, cannot be read, is not a regular file, or has more than `most_bytes`.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError("a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1) if found.st_size <= most_bytes else b""
    except (OSError, ValueError) as error:
        raise UnreadableError(getattr(error, "strerror", None) or str(error)) from error
    if max(found.st_size, len(content)) > most_bytes:
        raise UnreadableError(f"more than {most_bytes:,} bytes")
    return content


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """The content as UTF-8, with or without a byte order mark. Raises UnreadableError."""
    return _decoded(read_bytes(path, most_bytes))


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


def read_toml(path: Path, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The content as TOML. Raises UnreadableError."""
    text = read_text(path, most_bytes)
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UnreadableError("TOML that is nested too deeply") from error
    except ValueError as error:
        raise UnreadableError(f"text that is not TOML ({error})") from error
