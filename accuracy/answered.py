"""The answers of a run one by one, with their scores: what a report groups, and shows examples of.

Read from predictions.json and the data set, so no model, vocabulary or log of logits is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accuracy.metric import best_match
from qsl.squad_examples import read_examples
from qsl.sst2 import LABELS, read_labels, read_sentences

_HOW_MUCH = ("how many", "how much", "how long", "how old", "how far")
_KINDS = ("what", "who", "whom", "which", "when", "where", "why", "how")


@dataclass(frozen=True, kw_only=True)
class AnsweredQuestion:
    """One answered question, or sentence."""

    kind: str  # its question word, or the right label
    words: int  # of the passage, or of the sentence
    score: float  # 0 to 1
    question: str
    passage: str
    expected: tuple[str, ...]
    found: str


def squad(dataset: Path, predictions: Mapping[str, str]) -> list[AnsweredQuestion]:
    """The questions of a SQuAD file that have an answer, scored by F1. Raises DatasetError."""
    return [
        AnsweredQuestion(
            kind=kind(one.question),
            words=len(one.doc_words),
            score=best_match(predictions[one.id], one.answers)[1],
            question=one.question,
            passage=" ".join(one.doc_words),
            expected=tuple(dict.fromkeys(one.answers)),
            found=predictions[one.id],
        )
        for one in read_examples(dataset)
        if one.id in predictions
    ]


def sst2(dataset: Path, predictions: Mapping[str, str]) -> list[AnsweredQuestion]:
    """The sentences of an SST-2 file that have an answer: 1 if it is right. Raises DatasetError."""
    pairs = enumerate(zip(read_sentences(dataset), read_labels(dataset).tolist(), strict=True))
    return [
        AnsweredQuestion(
            kind=LABELS[label],
            words=len(sentence.split()),
            score=float(predictions[str(row)] == LABELS[label]),
            question=sentence,
            passage="",
            expected=(LABELS[label],),
            found=predictions[str(row)],
        )
        for row, (sentence, label) in pairs
        if str(row) in predictions
    ]


def kind(question: str) -> str:
    """The word that tells what is asked for: who, when, how many …; "other" without one."""
    words = question.lower().split()
    if any(f" {phrase} " in f" {' '.join(words)} " for phrase in _HOW_MUCH):
        return "how many"
    found = next((word for word in words if word in _KINDS), "other")
    return "who" if found == "whom" else found
