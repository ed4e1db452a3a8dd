"""The heads of a BERT, as a table: what its output is, and how many rows of it belong to a sample.

Every head returns rows of two numbers, so that everything that transports answers (shared memory, LoadGen's log) has
one width and needs only the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from foundation.arrays import Int64

SPANS, CLASSES = "spans", "classes"
COLUMNS = 2  # a start and an end logit, or one logit per class


@dataclass(frozen=True)
class Head:
    """One kind of output."""

    title: str  # the task of such a model, in words
    architecture: str  # Hugging Face's name for it in config.json, of a BERT; of others it ends so
    dense: tuple[str, ...]  # names of its square layers, [hidden, hidden]
    last: str  # name of its last layer, [2, hidden]
    per_token: bool  # a row for every token; otherwise one per sample, from its first token

    def shapes(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """The shapes of its tensors, by name."""
        found: dict[str, tuple[int, ...]] = {f"{self.last}.weight": (COLUMNS, hidden), f"{self.last}.bias": (COLUMNS,)}
        for name in self.dense:
            found |= {f"{name}.weight": (hidden, hidden), f"{name}.bias": (hidden,)}
        return found

    def rows(self, lengths: Int64) -> Int64:
        """The number of output rows for samples of `lengths` tokens; both int64 [B]."""
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


# Names of the classes in published configurations, lower case → the class: 0 negative, 1 positive.
_CLASSES = {"negative": 0, "neg": 0, "label_0": 0, "0": 0, "positive": 1, "pos": 1, "label_1": 1, "1": 1}


def class_order(names: Sequence[str]) -> tuple[int, int] | None:
    """The output of the negative and that of the positive class, by the names of the outputs in their order.

    Without names it is (0, 1); None if the names do not say which is which.
    """
    if not names:
        return 0, 1
    found = [_CLASSES.get(name.strip().lower()) for name in names]
    return (found.index(0), found.index(1)) if sorted(map(str, found)) == ["0", "1"] else None


def of_architectures(names: object) -> str:
    """The head named by `architectures` in config.json; SPANS if it names none, as MLPerf's does not."""
    found = names if isinstance(names, list) else []
    named = (name for name, head in HEADS.items() if any(str(one).endswith(head.architecture) for one in found))
    return next(named, SPANS)


def of_tensors(names: Iterable[str]) -> str:
    """The head that has its last layer among these tensors; SPANS if none has."""
    there = set(names)
    return next((name for name, head in HEADS.items() if f"{head.last}.weight" in there), SPANS)
