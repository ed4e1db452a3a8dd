"""\"Did you mean …\": the known word nearest to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The most similar of `known`, whatever its case; None where none is similar."""
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean X?"`, to be appended to a message; "" where no known word is similar."""
    found = nearest(word, known)
    return f" Did you mean {found}?" if found else ""
