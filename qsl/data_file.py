"""A file that a run reads: its content and the sha256 of it, each had once, when first needed.

Much asks for a data set between a run's flags and its score. What is handed on is this, not a path, so that the file is
read and hashed once in a process; and what is scored is what was run, even if the file changed meanwhile.
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
    """One file. `kind` and `flag` are for messages: what it should be, and what names another one."""

    path: Path
    kind: str
    flag: str

    @classmethod
    def of(cls, source: Path | DataFile, kind: str, flag: str) -> DataFile:
        """`source` itself, or the file at this path."""
        return source if isinstance(source, DataFile) else cls(source, kind, flag)

    @cached_property
    def content(self) -> bytes:
        """All of it. Raises DatasetError where it cannot be read."""
        try:
            return read_bytes(self.path)
        except UnreadableError as error:
            raise DatasetError(
                f"expected {self.kind} at {self.path}, found: {error}. Name one with {self.flag} FILE."
            ) from error

    @cached_property
    def sha256(self) -> str:
        """In hexadecimal. Raises DatasetError where it cannot be read."""
        return hashlib.sha256(self.content).hexdigest()
