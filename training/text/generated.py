"""The generated passages of the demo as a text to pre-train on: one sentence a line, a blank line between articles."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qsl import demo

_SENTENCE_END = re.compile(r"(?<=[.!?]) +")  # the generator writes no abbreviations


def articles(split: str, seed: int, passages: int) -> Iterator[list[str]]:
    """The sentences of each article: disjoint splits, four passages an article, as `qsl.demo` writes them."""
    for article in demo.generate(split, seed, passages * demo.QUESTIONS_PER_PASSAGE)["data"]:
        contexts = (paragraph["context"] for paragraph in article["paragraphs"])
        yield [sentence for context in contexts for sentence in _SENTENCE_END.split(context)]


def text(split: str, seed: int, passages: int) -> str:
    """The articles in the form that `training.pretrain_data` reads."""
    return "".join(f"{sentence}\n" for article in articles(split, seed, passages) for sentence in (*article, ""))
