"""What a person can do something about while a text becomes pre-training instances."""

from __future__ import annotations

from foundation.errors import UserError


class TextError(UserError):
    """A text, a vocabulary or a number that no instances can be made of."""
