"""Which samples form a batch: pure functions from lengths to batches, as positions in the array of lengths.

A batch is as large as its budget of computed tokens allows. A packed engine computes only real tokens, so any lengths
may share a batch; the last batches get equal work. A padded engine computes samples × longest, so samples of similar
length share a batch, and a sample that would add more padding than the overhead of a batch starts a new one. A given
batch size replaces this: batches of that many samples, nearest in length.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from foundation.arrays import Int64

# The overhead of a batch in computed tokens, measured by `python -m benchmarks.batch_overhead`.
BATCH_OVERHEAD_TOKENS = 32
# Padded batches shrink towards the end, so that several instances finish together: each is at most this share of an
# instance's remaining tokens, down to a size at which the overhead of a batch starts to matter.
_TAIL_SHARE, _SMALLEST_TOKENS = 0.5, 512
# In the last rounds (one batch per instance), packed batches get equal work, so that instances of equal speed finish
# together. Over many rounds instances drift apart, so the last round is cut into pieces: one per _ROUNDS_PER_PIECE.
# Both numbers were chosen by simulation: docs/guide/tuning.md.
_BALANCED_ROUNDS, _ROUNDS_PER_PIECE = 8, 4
_CANDIDATES = 256  # of a long queue, only this many of the oldest are considered


def by_length(
    lengths: Int64, max_batch_tokens: int, *, packed: bool, instances: int = 1, batch_size: int | None = None
) -> Iterator[Int64]:
    """All samples of a query in batches, the longest first, such that instances finish together.

    Every sample is in exactly one batch; a batch over the budget holds a single sample. With a `batch_size` all batches
    have that many samples, except the last one and those that the budget limits.
    """
    order = np.argsort(-lengths, kind="stable")
    if batch_size:
        batches = _counted(lengths[order], max_batch_tokens, batch_size, packed)
    else:
        batches = (_packed if packed else _padded)(lengths[order], max_batch_tokens, instances)
    return (order[batch] for batch in batches)


def _counted(falling: Int64, max_batch_tokens: int, batch_size: int, packed: bool) -> Iterator[Int64]:
    start = 0
    while start < len(falling):
        candidates = falling[start : start + batch_size]
        computed = np.cumsum(candidates) if packed else candidates[0] * np.arange(1, len(candidates) + 1)
        end = start + max(1, int(np.searchsorted(computed, max_batch_tokens, side="right")))
        yield np.arange(start, end)
        start = end


def _packed(falling: Int64, max_batch_tokens: int, instances: int) -> Iterator[Int64]:
    """Full batches, then some rounds of batches with equal work."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(falling)])  # tokens ahead of each sample
    balanced_from = before[-1] - _BALANCED_ROUNDS * max_batch_tokens * instances
    start = 0
    while start < len(falling) and (before[start] < balanced_from or falling[start] > max_batch_tokens):
        end = max(int(np.searchsorted(before, before[start] + max_batch_tokens, side="right")) - 1, start + 1)
        yield np.arange(start, end)
        start = end
    if start < len(falling):
        yield from (start + batch for batch in _balanced(falling[start:], max_batch_tokens, instances))


def _balanced(falling: Int64, max_batch_tokens: int, instances: int) -> Iterator[Int64]:
    rounds = -(-int(falling.sum()) // (max_batch_tokens * instances))
    batch_of = _assign(falling, rounds, instances, max_batch_tokens)
    while np.bincount(batch_of, falling).max() > max_batch_tokens:
        rounds += 1
        batch_of = _assign(falling, rounds, instances, max_batch_tokens)
    for batch in range(int(batch_of.max()) + 1):
        samples = np.flatnonzero(batch_of == batch)
        if len(samples):
            yield samples


def _assign(falling: Int64, rounds: int, instances: int, max_batch_tokens: int) -> Int64:
    """The batch of each sample: the one with the fewest tokens so far.

    Samples are assigned to pieces; the pieces of a batch are then merged, except in the last round."""
    pieces = 1
    if instances > 1:
        pieces = max(1, min(1 + rounds // _ROUNDS_PER_PIECE, max_batch_tokens // _SMALLEST_TOKENS))
    held = [(0, piece) for piece in range(rounds * instances * pieces)]
    found = np.empty(len(falling), np.int64)
    for position, length in enumerate(falling.tolist()):
        tokens, found[position] = held[0]
        heapq.heapreplace(held, (tokens + length, held[0][1]))
    whole = (rounds - 1) * instances
    return np.where(found < whole * pieces, found // pieces, found - whole * (pieces - 1))


def _padded(falling: Int64, max_batch_tokens: int, instances: int) -> Iterator[Int64]:
    left = np.cumsum(falling[::-1])[::-1]  # tokens from each sample on
    start = 0
    while start < len(falling):
        end = _padded_end(falling, start, _budget(int(left[start]), max_batch_tokens, instances))
        yield np.arange(start, end)
        start = end


def _budget(left: int, max_batch_tokens: int, instances: int) -> int:
    if instances == 1:
        return max_batch_tokens
    return min(max_batch_tokens, max(_SMALLEST_TOKENS, int(left / instances * _TAIL_SHARE)))


def _padded_end(falling: Int64, start: int, budget: int) -> int:
    longest = int(falling[start])
    candidates = falling[start : start + max(1, budget // longest)]
    return start + int(np.searchsorted(-candidates, BATCH_OVERHEAD_TOKENS - longest, side="right"))


def oldest_first(lengths: Int64, max_batch_tokens: int, *, packed: bool, batch_size: int | None = None) -> Int64:
    """The next batch of a queue, given oldest first: its oldest sample and as many others as fit.

    The oldest is always included, so no sample waits for ever. For a packed engine the others are the next in the
    queue, else those nearest in length, the older first. Never more than `batch_size`.
    """
    at_most = batch_size or len(lengths)
    if packed:
        fitting = int(np.searchsorted(np.cumsum(lengths), max_batch_tokens, side="right"))
        return np.arange(max(1, min(fitting, at_most)))
    lengths = lengths[:_CANDIDATES]
    nearest = np.argsort(np.abs(lengths - lengths[0]), kind="stable")
    batch, longest = 0, 0
    for length in lengths[nearest[:at_most]].tolist():
        grown = max(longest, length)
        padding = batch * (grown - longest) + grown - length
        if batch and (padding > BATCH_OVERHEAD_TOKENS or (batch + 1) * grown > max_batch_tokens):
            break
        batch, longest = batch + 1, grown
    return np.sort(nearest[:batch])
