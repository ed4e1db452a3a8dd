"""A text as token ids: articles of sentences, from one sentence a line and a blank line between articles.

Lines end at "\\n" alone and are blank if Python's `strip` leaves nothing, as in the reference. A line of which no token
is left, such as one of control characters, is neither a sentence nor the end of an article.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foundation.arrays import Int32, Int64
from training.text.wordpiece import Tokenizer

_BLANKS = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True)
class Articles:
    """Articles of sentences of tokens; no article and no sentence is empty."""

    token_ids: Int32  # [T]
    sentences: Int64  # [S + 1], into token_ids
    articles: Int64  # [A + 1], into sentences

    def __len__(self) -> int:
        """Number of articles."""
        return self.articles.size - 1


def from_lists(articles: Iterable[Sequence[Sequence[int]]]) -> Articles:
    """From ids in lists; what is empty is dropped."""
    tokens: list[int] = []
    sentence_ends, article_ends = [0], [0]
    for article in articles:
        for sentence in filter(None, article):
            tokens += sentence
            sentence_ends.append(len(tokens))
        if len(sentence_ends) - 1 > article_ends[-1]:
            article_ends.append(len(sentence_ends) - 1)
    return Articles(np.array(tokens, np.int32), np.array(sentence_ends, np.int64), np.array(article_ends, np.int64))


def encode(content: bytes, tokenizer: Tokenizer) -> Articles:
    """The articles of a text in UTF-8, in plain Python: the twin of `native.calls.encode`."""
    return from_lists(_articles(content.decode(), tokenizer))


def _articles(text: str, tokenizer: Tokenizer) -> Iterator[list[list[int]]]:
    article: list[list[int]] = []
    for line in text.split("\n"):
        if not line.strip():
            yield article
            article = []
        article.append([number for word in _BLANKS.split(line) for number in tokenizer.encode_word(word)])
    yield article
