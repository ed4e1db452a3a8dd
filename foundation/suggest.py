"""Suggestions for mistyped words: "Did you mean X?"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_SIMILAR = 0.6  # difflib's own: 1 is the same word, 0 has no letter in common
_CONSIDERED = 8  # similar words, of which the one with the fewest slips of the finger is suggested


def nearest(word: str, known: Iterable[str], similar: float = _SIMILAR) -> str | None:
    """The one of `known` that most likely was meant, ignoring case; None if none is similar.

    Args:
        similar: the least similarity, 0 to 1.
    """
    import difflib  # not needed for a word that is right

    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=_CONSIDERED, cutoff=similar)
    return by_lower[min(found, key=lambda one: _slips(word.lower(), one))] if found else None


def did_you_mean(word: str, known: Iterable[str], similar: float = _SIMILAR) -> str:
    """`" Did you mean X?"`, to be appended to a message; "" if no known word is similar."""
    found = nearest(word, known, similar)
    return f" Did you mean {found}?" if found else ""


def _slips(typed: str, meant: str) -> tuple[int, int]:
    """(letters added, missing, wrong or in the place of their neighbour; how many letters only one of the words has).

    The first is the optimal string alignment distance: Levenshtein's, with swapped neighbours as one slip. By it
    --modle is as far from --mode as from --model, which has the same letters.
    """
    before, last = [0] * (len(meant) + 1), list(range(len(meant) + 1))
    for row, letter in enumerate(typed, 1):
        line = [row]
        for column, other in enumerate(meant, 1):
            slips = min(last[column] + 1, line[-1] + 1, last[column - 1] + (letter != other))
            if row > 1 and column > 1 and typed[row - 2 : row] == meant[column - 2 : column][::-1]:
                slips = min(slips, before[column - 2] + 1)
            line.append(slips)
        before, last = last, line
    letters, others = Counter(typed), Counter(meant)
    return last[-1], ((letters - others) + (others - letters)).total()
