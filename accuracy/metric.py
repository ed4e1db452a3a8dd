"""SQuAD v1.1's exact match and F1 of one answer, as its official evaluation defines them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII only, as in the official script: an en dash stays


def normalize_answer(text: str) -> str:
    """Lower case; no ASCII punctuation, articles or spare white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def best_match(prediction: str, answers: Iterable[str]) -> tuple[float, float]:
    """(exact match, F1), each from 0 to 1 and the best over the reference answers; 0 if there are none."""
    predicted = normalize_answer(prediction)
    truths = {normalize_answer(answer) for answer in answers}
    exact = float(predicted in truths)
    return exact, max((_f1(predicted.split(), truth.split()) for truth in truths), default=0.0)


def _f1(predicted: list[str], truth: list[str]) -> float:
    shared = sum((Counter(predicted) & Counter(truth)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(truth)
    return (2 * precision * recall) / (precision + recall)
