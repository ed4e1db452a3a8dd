"""The n-best answers to one question, with probabilities, as SQuAD's evaluation of BERT defines them.

A probability is a softmax over the scores of the N_BEST_SIZE best spans with different texts, over all windows of the
passage. It ranks a span among those; it does not say whether the passage answers the question at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from accuracy.spans import N_BEST_SIZE, ranked_spans
from accuracy.squad import span_text

if TYPE_CHECKING:
    from foundation.arrays import Float32
    from qsl.squad import SquadFeatures
    from qsl.squad_examples import Example
    from qsl.wordpiece import WordPiece


@dataclass(frozen=True)
class NBestAnswer:
    """One span: its text, the sum of its start and end logits, and its probability among the n-best."""

    text: str
    score: float
    probability: float  # 0 to 1


def best_answers(
    logits: Float32, example: Example, features: SquadFeatures, vocabulary: WordPiece
) -> list[NBestAnswer]:
    """Up to N_BEST_SIZE answers, the best first; empty if no span is valid.

    Args:
        logits: start and end logits, float32 [N, S, 2], of the question's N windows.
        features: of this question only.
        vocabulary: of the features.
    """
    scores: dict[str, float] = {}
    for row, span in ranked_spans(logits, features):
        text = span_text(row, int(span.start[0]), int(span.end[0]), example, features, vocabulary)
        scores.setdefault(text, float(span.score[0]))
        if len(scores) == N_BEST_SIZE:
            break
    if not scores:
        return []
    weights = np.exp(np.array(list(scores.values())) - max(scores.values()))
    shares = (weights / weights.sum()).tolist()
    return [NBestAnswer(text, score, share) for (text, score), share in zip(scores.items(), shares, strict=True)]
