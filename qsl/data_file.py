"""A file that a run reads: its content and its sha256, each computed once, on first use.

Many parts of a run need the data set. They get this object and not a path, so that a process reads and hashes the file
once, and scores what it ran even if the file has changed meanwhile.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from foundation.bounded_readers import UnreadableError, read_bytes
from qsl.base import DatasetError


@dataclass(frozen=True)
class DataFile:
    """One file. Messages use `kind` (what it should be) and `flag` (which selects another file)."""

    path: Path
    kind: str
    flag: str

    @classmethod
    def of(cls, source: Path | DataFile, kind: str, flag: str) -> DataFile:
        """`source` itself, or the file at this path."""
        return source if isinstance(source, DataFile) else cls(source, kind, flag)

    @cached_property
    def content(self) -> bytes:
        """The bytes of the file. Raises DatasetError if it cannot be read."""
        try:
            return read_bytes(self.path)
        except UnreadableError as error:
            raise DatasetError(
                f"expected {self.kind} at {self.path}, found: {error}. Name one with {self.flag} FILE."
            ) from error

    @cached_property
    def sha256(self) -> str:
        """The sha256 in hexadecimal. Raises DatasetError if the file cannot be read."""
        return hashlib.sha256(self.content).hexdigest()
