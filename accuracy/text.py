"""Maps an answer span back to the text of the passage.

Tokens have no spacing, and those of an uncased model no case or accents. The reference searches the text of the tokens
in the passage words after the same basic tokenizer, and maps both ends back by counting characters other than spaces.
If that fails (an [UNK] piece, an accent that was a separate character), the answer is the whole words.
"""

from __future__ import annotations

from collections.abc import Iterable

from qsl.tokenizer_files import TextRules
from qsl.wordpiece import UNCASED, basic_tokens

NO_ANSWER = "empty"  # the reference's answer if no span is valid


def join_pieces(tokens: Iterable[str]) -> str:
    """The text of word pieces: "super", "bow", "##l" → "super bowl"."""
    return " ".join(" ".join(tokens).replace(" ##", "").replace("##", "").split())


def passage_text(pieces: str, words: str, rules: TextRules = UNCASED) -> str:
    """The part of `words`, the passage words of a span, that corresponds to `pieces`, the text of its tokens."""
    tokenized = " ".join(basic_tokens(words, rules))
    first = tokenized.find(pieces)
    if not pieces or first < 0:
        return words
    # The index in `words` of each character that is not a space.
    indexes = [index for index, char in enumerate(words) if char != " "]
    if len(indexes) != len(tokenized) - tokenized.count(" "):
        return words
    last = first + len(pieces) - 1
    start = indexes[first - tokenized.count(" ", 0, first)]
    stop = indexes[last - tokenized.count(" ", 0, last)] + 1
    return words[start:stop]
