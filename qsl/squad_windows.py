"""The windows of a passage that does not fit into one sample, as in the MLPerf BERT reference."""

from __future__ import annotations

import numpy as np

from foundation.arrays import Int64


def doc_spans(tokens: int, capacity: int, stride: int) -> list[tuple[int, int]]:
    """(start, length) of the windows over a passage of `tokens` tokens, at most `capacity` tokens each."""
    spans, start = [], 0
    while start < tokens:
        length = min(tokens - start, capacity)
        spans.append((start, length))
        if start + length == tokens:
            break
        start += min(length, stride)
    return spans


def max_context(spans: list[tuple[int, int]], tokens: int) -> Int64:
    """For each passage token the index of the window in which it has most context, int64 [tokens].

    The reference's score is min(tokens to the left, tokens to the right) + 0.01 * window length; the first window wins
    ties.
    """
    position = np.arange(tokens)
    scores = np.full((max(len(spans), 1), tokens), -1.0)
    for row, (start, length) in enumerate(spans):
        inside = position[start : start + length]
        scores[row, start : start + length] = np.minimum(inside - start, start + length - 1 - inside) + 0.01 * length
    best: Int64 = np.argmax(scores, axis=0)
    return best
