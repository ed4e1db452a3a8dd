"""The directory of a run: made, or refused in one line."""

from __future__ import annotations

from pathlib import Path

from sut.errors import UsageError


def make(folder: Path) -> None:
    """Make the directory and those above it, where they are missing. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"expected a directory at {folder}, or a place for a new one, found: {error.strerror}. Type another path."
        ) from error
