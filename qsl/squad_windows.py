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
    best, highest = np.zeros(tokens, np.int64), np.full(tokens, -1.0)
    for row, (start, length) in enumerate(spans):  # each window alone: windows × tokens would be quadratic
        left, here = np.arange(length), slice(start, start + length)
        scores = np.minimum(left, length - 1 - left) + 0.01 * length
        is_better = scores > highest[here]
        best[here][is_better], highest[here][is_better] = row, scores[is_better]
    return best
