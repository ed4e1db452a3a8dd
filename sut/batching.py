"""Which samples go together: pure functions from lengths to batches.

A batch is as large as `max_batch_tokens` of computed tokens (samples × longest) allows. Samples are put together by
length, so that hardly a computed token is padding; one that would add more padding than a batch of its own costs
starts a batch of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Waiting(NamedTuple):
    """A sample that LoadGen asked for: its response id, its sample's index in the QSL, its length in tokens."""

    id: int
    sample_index: int
    length: int


# What starting a batch costs, in computed tokens: measured by `python -m benchmarks.batches`.
BATCH_OVERHEAD_TOKENS = 32


def by_length(samples: Iterable[Waiting], max_batch_tokens: int) -> list[list[Waiting]]:
    """All samples in batches, longest first, so that what runs last is short and instances end together.

    Every sample is in exactly one batch; a batch over the budget holds a single sample.
    """
    batches: list[list[Waiting]] = []
    for sample in sorted(samples, key=lambda sample: -sample.length):
        if batches and _joins(batches[-1], sample, max_batch_tokens):
            batches[-1].append(sample)
        else:
            batches.append([sample])
    return batches


def _joins(batch: list[Waiting], sample: Waiting, max_batch_tokens: int) -> bool:
    longest = batch[0].length
    return longest - sample.length <= BATCH_OVERHEAD_TOKENS and (len(batch) + 1) * longest <= max_batch_tokens


def oldest_first(waiting: Sequence[Waiting], max_batch_tokens: int) -> list[Waiting]:
    """The next batch out of a queue: its oldest sample, and those nearest to it in length that fit.

    The oldest always leaves, so no sample waits for ever; ties go to the older one.
    """
    oldest = waiting[0]
    batch, longest = [oldest], oldest.length
    for sample in sorted(waiting[1:], key=lambda sample: abs(sample.length - oldest.length)):
        grown = max(longest, sample.length)
        padding = len(batch) * (grown - longest) + grown - sample.length
        if padding > BATCH_OVERHEAD_TOKENS or (len(batch) + 1) * grown > max_batch_tokens:
            break
        batch.append(sample)
        longest = grown
    return batch
