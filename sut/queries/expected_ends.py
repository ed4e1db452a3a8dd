"""When the batches in flight are expected to end: an accelerator gets its next Server batch just before that.

A batch that is formed when the answers of the last one arrive leaves the device idle for a round trip: answers to this
process, indexes back, features gathered, kernels launched. A batch that is formed much earlier misses the samples that
arrive in between. So a batch that ends within a round trip counts as ended, and the next one is formed then. Every
arrival of a sample asks; where none arrives in that time, nothing waits either. In the worst case a sample just misses
a batch, waits for it and then for its own: two batches and one round trip, where it was two batches and two round
trips.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from sut.executors.base import Job

ROUND_TRIP_S = 0.002  # of a batch of a GPU, from its last kernel to the first one of the next batch
_NEW_SHARE = 0.1  # of a batch's measured time in the correction of the expected ones
_LEAST, _MOST = 0.5, 2.0  # the correction


@dataclass(frozen=True)
class BatchCost:
    """A batch takes about `batch_s + tokens * token_s` seconds."""

    batch_s: float
    token_s: float


@dataclass(frozen=True)
class _Running:
    start_s: float
    duration_s: float  # expected, not corrected


class ExpectedEnds:
    """The jobs in flight. Not thread-safe: the scheduler holds its lock.

    The first job of each instance runs, the others wait and start as the running ones end. Without a cost nothing is
    expected to end.
    """

    def __init__(self, instances: int, cost: BatchCost | None = None) -> None:
        self._instances, self._cost = instances, cost
        self._running: dict[Job, _Running] = {}
        self._waiting: deque[tuple[Job, float]] = deque()
        self._correction = 1.0

    def __len__(self) -> int:
        return len(self._running) + len(self._waiting)

    @property
    def oldest(self) -> Job | None:
        """The job that runs for longest; None if none does, or if they change at this moment in another thread."""
        with suppress(RuntimeError):
            return next(iter(self._running), None)
        return None

    def add(self, job: Job, tokens: int, now_s: float) -> None:
        """A job was submitted."""
        duration_s = self._cost.batch_s + tokens * self._cost.token_s if self._cost else 0.0
        self._waiting.append((job, duration_s))
        self._start(now_s)

    def remove(self, job: Job, now_s: float) -> None:
        """A job ended."""
        if found := self._running.pop(job, None):
            self._correct(now_s - found.start_s, found.duration_s)
        else:  # of several instances, another one was faster than expected
            self._waiting = deque(one for one in self._waiting if one[0] is not job)
        self._start(now_s)

    def soon(self, now_s: float) -> int:
        """How many end within a round trip."""
        if self._cost is None:
            return 0
        ends_s = (one.start_s + one.duration_s * self._correction for one in self._running.values())
        return sum(end_s - now_s <= ROUND_TRIP_S for end_s in ends_s)

    def _start(self, now_s: float) -> None:
        while self._waiting and len(self._running) < self._instances:
            job, duration_s = self._waiting.popleft()
            self._running[job] = _Running(now_s, duration_s)

    def _correct(self, measured_s: float, expected_s: float) -> None:
        if expected_s > 0:
            found = self._correction + _NEW_SHARE * (measured_s / expected_s - self._correction)
            self._correction = min(max(found, _LEAST), _MOST)
