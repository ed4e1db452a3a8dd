"""Splits paragraphs into sentences with pysbd: rules, not a model, so it works without a network."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

from training.text.errors import TextError

_MOST_CHARS = 10_000  # of a paragraph: the time for one grows with its square


class Splitter:
    """Sentences of a paragraph in one language.

    Raises:
        TextError: pysbd is not installed, or does not know the language.
    """

    def __init__(self, language: str) -> None:
        self._segmenter = _segmenter(language)

    def __call__(self, paragraph: str) -> list[str]:
        """The sentences, without blanks around them; none of a blank paragraph."""
        found = (sentence for piece in _pieces(paragraph.strip()) for sentence in self._segmenter.segment(piece))
        lines = (" ".join(sentence.split("\n")).strip() for sentence in found)
        return [line for line in lines if line]


@lru_cache(maxsize=1)
def _segmenter(language: str) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # escapes in its patterns that Python warns of
            import pysbd
            from pysbd.languages import LANGUAGE_CODES
    except ImportError as error:
        raise TextError(
            "expected pysbd, which splits sentences, found it not installed. Type: pip install pysbd"
        ) from error
    if language not in LANGUAGE_CODES:
        known = ", ".join(sorted(LANGUAGE_CODES))
        raise TextError(f"expected a language out of {known}, found {language!a}. Type: --split-sentences en")
    return pysbd.Segmenter(language=language, clean=False)


def _pieces(paragraph: str) -> list[str]:
    """The paragraph, cut at blanks if it is very long."""
    pieces = []
    while len(paragraph) > _MOST_CHARS:
        cut = paragraph.rfind(" ", 1, _MOST_CHARS)
        cut = cut if cut > 0 else _MOST_CHARS
        pieces.append(paragraph[:cut])
        paragraph = paragraph[cut:].lstrip()
    return [*pieces, paragraph]
