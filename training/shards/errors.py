"""What is wrong with instances on disk, and with a disk that is written to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qsl.base import DatasetError
from sut.errors import SutError


class ShardError(DatasetError):
    """Instances, or files of them, that cannot be used; the message names the file."""


class ShardWriteError(SutError):
    """Instances could not be written, such as to a full disk: nothing half-written is left."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What is wrong with values that were read from `path` is an error that names it."""
    try:
        yield
    except ShardError as error:
        raise ShardError(f"{path}: {error}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError is one line: what could not be written, and why. Raises ShardWriteError."""
    try:
        yield
    except OSError as error:
        raise ShardWriteError(
            f"expected to write {path}, found: {error.strerror or error}. Nothing of it is left. Type another path, "
            "or free some space."
        ) from error
