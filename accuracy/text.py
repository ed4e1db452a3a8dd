"""An answer span to the passage's own words.

Tokens have lost case, accents and spacing. The reference finds the tokens' text in the passage words put through the
same basic tokenizer, and carries both ends over by counting characters that are not spaces. Where the counting cannot
work (an [UNK] piece, an accent that was a character of its own) it answers with the whole words.
"""

from __future__ import annotations

from collections.abc import Iterable

from qsl.wordpiece import basic_tokens

NO_ANSWER = "empty"  # what the reference answers where no span is valid


def join_pieces(tokens: Iterable[str]) -> str:
    """Word pieces to text: "super", "bow", "##l" → "super bowl"."""
    return " ".join(" ".join(tokens).replace(" ##", "").replace("##", "").split())


def passage_text(pieces: str, words: str) -> str:
    """The part of `words`, the passage words that the span touches, that reads as `pieces`, the span's tokens."""
    tokenized = " ".join(basic_tokens(words))
    first = tokenized.find(pieces)
    if not pieces or first < 0:
        return words
    # For each character that is not a space, its place in `words`.
    places = [place for place, char in enumerate(words) if char != " "]
    if len(places) != len(tokenized) - tokenized.count(" "):
        return words
    last = first + len(pieces) - 1
    start = places[first - tokenized.count(" ", 0, first)]
    stop = places[last - tokenized.count(" ", 0, last)] + 1
    return words[start:stop]
