"""Which samples go together: pure functions from lengths to batches, as positions in the array of lengths.

A batch is as large as a budget of computed tokens allows. An engine that runs packed tokens computes what is there; any
lengths go together, and towards the end samples are dealt out into batches of like work. One that needs a rectangle
computes samples × longest: its samples are put together by length, so that hardly a computed token is padding; one that
would add more padding than a batch of its own costs starts a batch.
A batch size that was asked for is kept instead: so many samples a batch, nearest in length, to the end.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from foundation.arrays import Int64

# What starting a batch costs, in computed tokens: measured by `python -m benchmarks.batch_overhead`.
BATCH_OVERHEAD_TOKENS = 32
# So that several instances end together, padded batches shrink towards the end: each is at most this share of what is
# left for an instance, down to a size where the batch's own cost begins to tell.
_TAIL_SHARE, _SMALLEST_TOKENS = 0.5, 512
# Packed batches of the last rounds, one for each instance, are dealt: all alike, and instances that run alike end
# together. Over more rounds they drift apart: then the last round's are cut in pieces, one more for so many rounds.
# Both rules were chosen by simulation: docs/guide/tuning.md.
_DEALT_ROUNDS, _ROUNDS_PER_PIECE = 8, 4
_CANDIDATES = 256  # of a long queue, so many of the oldest are looked at


def by_length(
    lengths: Int64, max_batch_tokens: int, *, packed: bool, instances: int = 1, batch_size: int | None = None
) -> Iterator[Int64]:
    """All samples of a query in batches, the longest first, and so that instances end together.

    Every sample is in exactly one batch; a batch over the budget holds a single sample. With a `batch_size` all batches
    have that many samples, but for the last and those that the budget cuts.
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
        some = falling[start : start + batch_size]
        computed = np.cumsum(some) if packed else some[0] * np.arange(1, len(some) + 1)
        end = start + max(1, int(np.searchsorted(computed, max_batch_tokens, side="right")))
        yield np.arange(start, end)
        start = end


def _packed(falling: Int64, max_batch_tokens: int, instances: int) -> Iterator[Int64]:
    """Full batches, then some rounds of batches of like work."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(falling)])  # tokens ahead of each sample
    dealt = before[-1] - _DEALT_ROUNDS * max_batch_tokens * instances
    start = 0
    while start < len(falling) and (before[start] < dealt or falling[start] > max_batch_tokens):
        end = max(int(np.searchsorted(before, before[start] + max_batch_tokens, side="right")) - 1, start + 1)
        yield np.arange(start, end)
        start = end
    if start < len(falling):
        yield from (start + batch for batch in _dealt(falling[start:], max_batch_tokens, instances))


def _dealt(falling: Int64, max_batch_tokens: int, instances: int) -> Iterator[Int64]:
    rounds = -(-int(falling.sum()) // (max_batch_tokens * instances))
    batch_of = _deal(falling, rounds, instances, max_batch_tokens)
    while np.bincount(batch_of, falling).max() > max_batch_tokens:
        rounds += 1
        batch_of = _deal(falling, rounds, instances, max_batch_tokens)
    for batch in range(int(batch_of.max()) + 1):
        samples = np.flatnonzero(batch_of == batch)
        if len(samples):
            yield samples


def _deal(falling: Int64, rounds: int, instances: int, max_batch_tokens: int) -> Int64:
    """The batch that each sample goes to: always to that with the fewest tokens, of pieces that are then put together,
    but for the last round's."""
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
    some = falling[start : start + max(1, budget // longest)]
    return start + int(np.searchsorted(-some, BATCH_OVERHEAD_TOKENS - longest, side="right"))


def oldest_first(lengths: Int64, max_batch_tokens: int, *, packed: bool, batch_size: int | None = None) -> Int64:
    """The next batch out of a queue, oldest first: its oldest sample, and as many others as fit.

    The oldest always leaves, so no sample waits for ever. Packed, the others are those that follow; else those nearest
    to it in length, ties going to the older one. Never more than `batch_size`.
    """
    most = batch_size or len(lengths)
    if packed:
        fitting = int(np.searchsorted(np.cumsum(lengths), max_batch_tokens, side="right"))
        return np.arange(max(1, min(fitting, most)))
    lengths = lengths[:_CANDIDATES]
    nearest = np.argsort(np.abs(lengths - lengths[0]), kind="stable")
    batch, longest = 0, 0
    for length in lengths[nearest[:most]].tolist():
        grown = max(longest, length)
        padding = batch * (grown - longest) + grown - length
        if batch and (padding > BATCH_OVERHEAD_TOKENS or (batch + 1) * grown > max_batch_tokens):
            break
        batch, longest = batch + 1, grown
    return np.sort(nearest[:batch])
