"""Which samples go together: pure functions from lengths to batches, as positions in the array of lengths.

A batch is as large as a budget of computed tokens allows. An engine that runs packed tokens computes what is there; any
lengths go together. One that needs a rectangle computes samples × longest: its samples are put together by length, so
that hardly a computed token is padding; one that would add more padding than a batch of its own costs starts a batch.
A batch size that was asked for is kept instead: so many samples a batch, nearest in length, to the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
# What starting a batch costs, in computed tokens: measured by `python -m benchmarks.batches`.
BATCH_OVERHEAD_TOKENS = 32
# So that several instances end together, a batch is at most this share of what is left for each of them, down to a size
# where the batch's own cost begins to tell. Chosen by simulation: docs/tuning.md.
_TAIL_SHARE, _SMALLEST_TOKENS = 0.5, 512
_CANDIDATES = 256  # of a long queue, so many of the oldest are looked at


def by_length(
    lengths: Int64, max_batch_tokens: int, *, packed: bool, instances: int = 1, batch_size: int | None = None
) -> Iterator[Int64]:
    """All samples in batches, longest first, so that what runs last is short and instances end together.

    Every sample is in exactly one batch; a batch over the budget holds a single sample. With a `batch_size` all batches
    have that many samples, but for the last and those that the budget cuts.
    """
    order = np.argsort(-lengths, kind="stable")
    falling = lengths[order]
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(falling)])  # tokens ahead of each sample
    start = 0
    while start < len(order):
        budget = _budget(int(before[-1] - before[start]), max_batch_tokens, 1 if batch_size else instances)
        end = _packed_end(before, start, budget) if packed else _padded_end(falling, start, budget, batch_size)
        end = min(end, start + (batch_size or len(order)))
        yield order[start:end]
        start = end


def _budget(left: int, max_batch_tokens: int, instances: int) -> int:
    if instances == 1:
        return max_batch_tokens
    return min(max_batch_tokens, max(_SMALLEST_TOKENS, int(left / instances * _TAIL_SHARE)))


def _packed_end(before: Int64, start: int, budget: int) -> int:
    return max(int(np.searchsorted(before, before[start] + budget, side="right")) - 1, start + 1)


def _padded_end(falling: Int64, start: int, budget: int, batch_size: int | None) -> int:
    longest = int(falling[start])
    some = falling[start : start + max(1, budget // longest)]
    padding = longest if batch_size else BATCH_OVERHEAD_TOKENS  # that one sample may add
    return start + int(np.searchsorted(-some, padding - longest, side="right"))


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
