"""Suggestions for mistyped words: "Did you mean X?"."""

from __future__ import annotations

from collections.abc import Iterable

_SIMILAR = 0.6  # difflib's own: 1 is the same word, 0 has no letter in common


def nearest(word: str, known: Iterable[str], similar: float = _SIMILAR) -> str | None:
    """The most similar of `known`, ignoring case; None if none is similar.

    Args:
        similar: the least similarity, 0 to 1.
    """
    import difflib  # not needed for a word that is right

    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=similar)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], similar: float = _SIMILAR) -> str:
    """`" Did you mean X?"`, to be appended to a message; "" if no known word is similar."""
    found = nearest(word, known, similar)
    return f" Did you mean {found}?" if found else ""
