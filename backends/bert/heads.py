"""The heads of a BERT, as a table: what it answers with, and how many rows of numbers that is for a sample.

Every head gives rows of two numbers, so that all which carries answers (shared memory, LoadGen's log) knows one width
and asks the head for nothing but the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from foundation.arrays import Int64

SPANS, CLASSES = "spans", "classes"
COLUMNS = 2  # a start and an end logit; a logit for either class


@dataclass(frozen=True)
class Head:
    """One kind of answer."""

    title: str  # what a model that has it is for
    architecture: str  # Hugging Face's name of such a model, in its config.json
    dense: tuple[str, ...]  # its square layers, [hidden, hidden]
    last: str  # its last layer, [2, hidden]
    per_token: bool  # a row for every token of a sample; else one for the sample, from its first token

    def shapes(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """Its tensors: name → shape."""
        found: dict[str, tuple[int, ...]] = {f"{self.last}.weight": (COLUMNS, hidden), f"{self.last}.bias": (COLUMNS,)}
        for name in self.dense:
            found |= {f"{name}.weight": (hidden, hidden), f"{name}.bias": (hidden,)}
        return found

    def rows(self, lengths: Int64) -> Int64:
        """Rows of the answers to samples of so many tokens, int64 [B] both."""
        return lengths if self.per_token else np.ones_like(lengths)


HEADS = {
    SPANS: Head("question answering", "BertForQuestionAnswering", (), "qa_outputs", per_token=True),
    CLASSES: Head(
        "classification of sentences",
        "BertForSequenceClassification",
        ("bert.pooler.dense",),
        "classifier",
        per_token=False,
    ),
}


def of_architectures(names: object) -> str:
    """The head that a config.json's `architectures` names; MLPerf's has none, and spans."""
    found = names if isinstance(names, list) else []
    return next((name for name, head in HEADS.items() if head.architecture in found), SPANS)


def of_tensors(names: Iterable[str]) -> str:
    """The head whose last layer is among these tensors; spans where none is."""
    there = set(names)
    return next((name for name, head in HEADS.items() if f"{head.last}.weight" in there), SPANS)
