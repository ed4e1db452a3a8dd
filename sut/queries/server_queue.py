"""What waits in the Server scenario, and which of it goes next.

The oldest sample goes first, unless it cannot be answered within the target latency any more: then it waits until there
is nothing else. A server is judged by how many samples are late, not by how much, so after a burst it is better to be
very late with a few than a little with all.
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

_CANDIDATES = 256  # of a long queue, so many of the oldest are looked at for a batch


class Waiting(NamedTuple):
    """A sample that LoadGen asked for: its response id, its sample's index in the QSL, its tokens, when it came."""

    id: int
    sample_index: int
    length: int
    arrived_s: float


@dataclass(frozen=True)
class Pace:
    """What decides a batch: how large it may be, and when a sample is too old to be answered in time."""

    max_batch_tokens: int
    packed: bool
    patience_s: float = float("inf")  # target latency less what a batch takes
    batch_size: int | None = None  # most samples of a batch


class ServerQueue:
    """Not for several threads at once; the scheduler holds its lock."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._in_time: deque[Waiting] = deque()
        self._late: deque[Waiting] = deque()
        self.tokens = 0  # of all that wait

    @property
    def has_whole_batch(self) -> bool:
        waiting = len(self._in_time) + len(self._late)
        return self.tokens >= self._pace.max_batch_tokens or waiting >= (self._pace.batch_size or waiting + 1)

    def push(self, sample: Waiting) -> None:
        self._in_time.append(sample)
        self.tokens += sample.length

    def pop_job(self, now_s: float) -> Job | None:
        """The next batch; None when nothing waits."""
        while self._in_time and now_s - self._in_time[0].arrived_s > self._pace.patience_s:
            self._late.append(self._in_time.popleft())
        queue = self._in_time or self._late
        if not queue:
            return None
        candidates = list(islice(queue, _CANDIDATES))
        lengths = np.array([sample.length for sample in candidates])
        pace = self._pace
        chosen = batching.oldest_first(lengths, pace.max_batch_tokens, packed=pace.packed, batch_size=pace.batch_size)
        self._remove(queue, candidates, chosen)
        batch = [candidates[position] for position in chosen]
        ids, indexes = zip(*((sample.id, sample.sample_index) for sample in batch), strict=True)
        return Job(np.array(ids, np.int64), np.array(indexes, np.int64))

    def _remove(self, queue: deque[Waiting], candidates: list[Waiting], chosen: Int64) -> None:
        gone = set(chosen.tolist())
        self.tokens -= sum(candidates[position].length for position in gone)
        for _ in candidates:
            queue.popleft()
        queue.extendleft(reversed([sample for position, sample in enumerate(candidates) if position not in gone]))


# Of the target latency, how long one batch may take: a sample waits for the batch under way, then for its own, and at
# full load for some more.
_BATCH_SHARE = 0.25


def pace(
    max_batch_tokens: int,
    *,
    packed: bool,
    batch_s: float,
    token_s: float,
    target_latency_s: float | None,
    batch_size: int | None = None,
) -> Pace:
    """The pace that keeps a latency: batches take at most a quarter of it, where a batch takes
    `batch_s + tokens * token_s` seconds."""
    if target_latency_s is None:
        return Pace(max_batch_tokens, packed, batch_size=batch_size)
    fitting = int((target_latency_s * _BATCH_SHARE - batch_s) / token_s)
    tokens = max(1, min(max_batch_tokens, fitting))
    return Pace(tokens, packed, max(0.0, target_latency_s - batch_s - tokens * token_s), batch_size)
