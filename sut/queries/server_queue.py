"""The samples that wait in Server, and which of them form the next batch.

The oldest sample goes first, unless it can no longer meet the target latency: then it waits until no others are left.
LoadGen counts how many samples are late, not by how much, so after a burst it is better to be very late with a few than
a little late with all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from foundation.arrays import Int64
from sut.executors.base import Job
from sut.queries import batching

_CANDIDATES = 256  # of a long queue, only this many of the oldest are considered for a batch


class WaitingSample(NamedTuple):
    """A waiting sample: its response id, its index in the QSL, its length in tokens, the time of its arrival."""

    id: int
    sample_index: int
    length: int
    arrived_s: float


@dataclass(frozen=True)
class BatchLimits:
    """Limits of a batch: its size, and the age at which a sample can no longer be answered in time."""

    max_batch_tokens: int
    packed: bool
    patience_s: float = float("inf")  # target latency minus the time of a batch
    batch_size: int | None = None  # at most this many samples


class ServerQueue:
    """The queue of a Server test. Not thread-safe: the scheduler holds its lock."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._in_time: deque[WaitingSample] = deque()
        self._late: deque[WaitingSample] = deque()
        self.tokens = 0  # of all waiting samples

    @property
    def has_full_batch(self) -> bool:
        waiting = len(self._in_time) + len(self._late)
        return self.tokens >= self._limits.max_batch_tokens or waiting >= (self._limits.batch_size or waiting + 1)

    def push(self, sample: WaitingSample) -> None:
        self._in_time.append(sample)
        self.tokens += sample.length

    def pop_job(self, now_s: float) -> Job | None:
        """The next batch; None when nothing waits."""
        while self._in_time and now_s - self._in_time[0].arrived_s > self._limits.patience_s:
            self._late.append(self._in_time.popleft())
        queue = self._in_time or self._late
        if not queue:
            return None
        candidates = list(islice(queue, _CANDIDATES))
        lengths = np.array([sample.length for sample in candidates])
        limits = self._limits
        chosen = batching.oldest_first(
            lengths, limits.max_batch_tokens, packed=limits.packed, batch_size=limits.batch_size
        )
        self._remove(queue, candidates, chosen)
        batch = [candidates[position] for position in chosen]
        ids, indexes = zip(*((sample.id, sample.sample_index) for sample in batch), strict=True)
        arrived_s = np.array([sample.arrived_s for sample in batch], np.float64)
        return Job(np.array(ids, np.int64), np.array(indexes, np.int64), issued_s=arrived_s)

    def _remove(self, queue: deque[WaitingSample], candidates: list[WaitingSample], chosen: Int64) -> None:
        gone = set(chosen.tolist())
        self.tokens -= sum(candidates[position].length for position in gone)
        for _ in candidates:
            queue.popleft()
        queue.extendleft(reversed([sample for position, sample in enumerate(candidates) if position not in gone]))


# Share of the target latency that one batch may take: a sample waits for the running batch, then for its own, and at
# full load for some more.
_BATCH_SHARE = 0.25


def batch_limits(
    max_batch_tokens: int,
    *,
    packed: bool,
    batch_s: float,
    token_s: float,
    target_latency_s: float | None,
    batch_size: int | None = None,
) -> BatchLimits:
    """Limits that keep a target latency: batches take at most a quarter of it.

    A batch takes `batch_s + tokens * token_s` seconds."""
    if target_latency_s is None:
        return BatchLimits(max_batch_tokens, packed, batch_size=batch_size)
    fitting = int((target_latency_s * _BATCH_SHARE - batch_s) / token_s)
    tokens = max(1, min(max_batch_tokens, fitting))
    return BatchLimits(tokens, packed, max(0.0, target_latency_s - batch_s - tokens * token_s), batch_size)
