"""Logits to answer spans: the reference's n-best search, over all features at once.

The reference ranks 20 starts and 20 ends of each feature, drops the pairs that cannot be an answer, and sorts the rest.
SQuAD v1.1 needs only the best answer, so one masked maximum over [features, 20, 20] does the same; among equal scores
it takes the first in the reference's order, like a stable sort.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from foundation.arrays import Bool, Float32, Float64, Int64

if TYPE_CHECKING:
    from qsl.squad import SquadFeatures

N_BEST_SIZE = 20
MAX_ANSWER_LENGTH = 30  # tokens
_FEATURES_AT_ONCE = 512  # keeps the [features, 20, 20] arrays in the processor's cache


@dataclass(frozen=True)
class Spans:
    """The best span of each of N features: positions in the feature, both inclusive; score -inf if none is valid."""

    start: Int64  # [N]
    end: Int64  # [N]
    score: npt.NDArray[np.float64]  # [N]


def best_spans(logits: Float32, features: SquadFeatures) -> Spans:
    """The best valid span of each feature.

    A span is valid if both ends are passage tokens, the start has its maximum context in this feature, the end is not
    before the start, and it has at most MAX_ANSWER_LENGTH tokens. All S positions are ranked, so that padding takes
    places in the n-best list as in the reference, although it never becomes an answer.

    Args:
        logits: start and end logits, float32 [N, S, 2], S at least the length of the longest feature.
    """
    can_start, can_end = _allowed(features, logits.shape[1])
    chunks = range(0, len(logits), _FEATURES_AT_ONCE)
    parts = [
        _search(logits[at:stop], can_start[at:stop], can_end[at:stop])
        for at, stop in ((at, at + _FEATURES_AT_ONCE) for at in chunks)
    ]
    start, end, score = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Spans(start, end, score)


def best_features(spans: Spans, answered: Bool, features: SquadFeatures) -> dict[int, int]:
    """Example index → its answered feature with the highest score, the first among equals."""
    rows = np.flatnonzero(answered)
    rows = rows[np.lexsort((-spans.score[rows], features.example_index[rows]))]
    examples, first = np.unique(features.example_index[rows], return_index=True)
    return dict(zip(examples.tolist(), rows[first].tolist(), strict=True))


def _allowed(features: SquadFeatures, width: int) -> tuple[Bool, Bool]:
    """Where an answer may start and where it may end; both bool [N, width]."""
    lengths = features.features.lengths
    row = np.repeat(np.arange(len(lengths)), lengths)
    column = np.arange(len(row)) - np.repeat(features.features.offsets[:-1], lengths)
    can_start, can_end = np.zeros((2, len(lengths), width), np.bool_)
    can_end[row, column] = features.token_to_word >= 0
    can_start[row, column] = (features.token_to_word >= 0) & features.is_max_context
    return can_start, can_end


def ranked_spans(logits: Float32, features: SquadFeatures) -> Iterator[tuple[int, Spans]]:
    """Every valid span of all features, the highest score first, as (feature, one span).

    Validity, ties and `logits` are those of `best_spans`.
    """
    starts, ends, scores = _pairs(logits, *_allowed(features, logits.shape[1]))
    for place in np.argsort(-scores, axis=None, kind="stable").tolist():
        row, pair = divmod(place, scores.shape[1])
        if scores[row, pair] == -np.inf:
            return
        first, last = divmod(pair, ends.shape[1])
        yield row, Spans(starts[row, [first]], ends[row, [last]], scores[row, [pair]])


def _search(logits: Float32, can_start: Bool, can_end: Bool) -> tuple[Int64, Int64, Float64]:
    """`best_spans` for a chunk of features."""
    starts, ends, scores = _pairs(logits, can_start, can_end)
    best = np.argmax(scores, axis=1)
    row = np.arange(len(logits))
    return starts[row, best // ends.shape[1]], ends[row, best % ends.shape[1]], scores[row, best]


def _pairs(logits: Float32, can_start: Bool, can_end: Bool) -> tuple[Int64, Int64, Float64]:
    """The ranked starts and ends, both [n, 20], and the score of each pair, [n, 400]; -inf if it is not valid."""
    starts, ends = _ranked(logits[:, :, 0]), _ranked(logits[:, :, 1])
    last = ends[:, None, :] - starts[:, :, None]  # [n, 20, 20], starts along axis 1
    valid = (last >= 0) & (last < MAX_ANSWER_LENGTH)
    valid &= np.take_along_axis(can_start, starts, 1)[:, :, None]
    valid &= np.take_along_axis(can_end, ends, 1)[:, None, :]
    # The reference adds Python floats, which are float64.
    start_scores = np.take_along_axis(logits[:, :, 0], starts, 1).astype(np.float64)
    end_scores = np.take_along_axis(logits[:, :, 1], ends, 1).astype(np.float64)
    # Invalid pairs may be padding of any value, even infinities of both signs, so they are not added at all.
    sums = np.full(valid.shape, -np.inf)
    np.add(start_scores[:, :, None], end_scores[:, None, :], out=sums, where=valid)
    return starts, ends, sums.reshape(len(logits), -1)


def _ranked(scores: Float32) -> Int64:
    """Positions of the N_BEST_SIZE highest values of each row, highest first, the earlier among equals first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :N_BEST_SIZE]
