"""The error of every backend, format and model, and the one-line form of an engine's own errors."""

from __future__ import annotations

from foundation.errors import UserError


class BackendError(UserError, ValueError):
    """A backend or a model that cannot be used: what was expected, what was found, what to do."""


def brief(error: Exception) -> str:
    """An engine's error in one line: its type, and the first line of what it says."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
