"""Where the answer of a question is among the tokens of its windows: the labels of training on SQuAD.

The reference's rule (run_squad.py of google-research/bert): a window without the whole answer has the span of [CLS],
0 to 0; in one that holds it, the span is narrowed to the tokens of the answer's own text where they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundation.arrays import Int32, Int64
from qsl.base import DatasetError
from qsl.squad import SquadFeatures
from qsl.squad_examples import Example, split_words
from qsl.wordpiece import WordPiece


def require_answers(examples: Sequence[Example], path: Path) -> None:
    """Raise DatasetError unless each question has an answer with its place in the passage."""
    lacking = sum(not example.answer_starts for example in examples)
    if lacking:
        raise DatasetError(
            f"expected an answer with answer_start to every question of {path} to train on it, found {lacking:,} of "
            f"{len(examples):,} without. Type: --train train-v1.1.json"
        )


def spans(examples: Sequence[Example], data: SquadFeatures, vocabulary: WordPiece) -> Int64:
    """The first and the last token of the first answer, int64 [N, 2], for each of `data`'s N windows."""
    places = [_Place.of(example, vocabulary) for example in examples]
    offsets, found = data.features.offsets, np.zeros((len(data.features), 2), np.int64)
    for window, index in enumerate(data.example_index):
        part = slice(offsets[window], offsets[window + 1])
        found[window] = places[index].in_window(data.token_to_word[part], data.features.input_ids[part])
    return found


@dataclass(frozen=True)
class _Place:
    """An answer's words in its passage, how many tokens these have, and the tokens of its text."""

    first: int
    last: int
    tokens: int
    text: Int32

    @classmethod
    def of(cls, example: Example, vocabulary: WordPiece) -> _Place:
        first, answer = example.answer_starts[0], example.answers[0]
        last = first + max(1, len(split_words(answer))) - 1
        words = example.doc_words[first : last + 1]
        count = sum(len(vocabulary.encode_word(word)) for word in words)
        return cls(first, last, count, np.asarray(vocabulary.encode(answer), np.int32))

    def in_window(self, words: Int32, ids: Int32) -> tuple[int, int]:
        """(first, last) token; (0, 0) if the window does not hold all of the answer's words."""
        there = np.flatnonzero((words >= self.first) & (words <= self.last))
        if len(there) != self.tokens or not self.tokens:
            return 0, 0
        start, stop, size = int(there[0]), int(there[-1]) + 1, len(self.text)
        for place in range(start, stop - size + 1 if size else start):
            if np.array_equal(ids[place : place + size], self.text):
                return place, place + size - 1
        return start, stop - 1
