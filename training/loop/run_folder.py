"""The directories of a run and of its model: made and filled, or refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sut.errors import RunFailedError, UsageError


def make(folder: Path) -> None:
    """Make the directory and those above it, where they are missing. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"expected a directory at {folder}, or a place for a new one, found: {error.strerror}. Type another path."
        ) from error


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """The block writes a trained model's files to `folder`. Raises RunFailedError where it cannot."""
    try:
        yield
    except OSError as error:
        raise RunFailedError(
            f"expected to write the model to {folder}, found: {error.strerror}. The run's directory has it. "
            "Type: the same command with --run-dir and that directory, when there is room."
        ) from error
