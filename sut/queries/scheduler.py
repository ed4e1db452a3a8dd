"""LoadGen's queries → jobs on instances → responses: the only place that maps response ids to samples.

`issue_queries` runs on LoadGen's thread and returns at once; `_done` runs on the executor's. In Offline, SingleStream
and MultiStream a query has all its samples, so batches are planned when it is issued; in Server a batch is formed when
an instance is free or an accelerator is about to be, from the samples that wait then.

In the network division nodes form the batches: here each sample is a job of its own, in the order of LoadGen's.

A job that a remote executor lost with its node, unanswered, is submitted once more; a job that is lost again is a
failure.

After a failure no more queries are answered: LoadGen has no call that stops it, and a run with empty responses could
end with a VALID summary. `run.watched_test` polls `failure` and abandons LoadGen's thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foundation.arrays import Float32, Int64
from sut.executors.base import JOBS_PER_INSTANCE, Executor, Job, Outcome
from sut.queries import batching
from sut.queries.batch_times import BatchTimes
from sut.queries.expected_ends import BatchCost, ExpectedEnds
from sut.queries.server_queue import BatchLimits, ServerQueue, WaitingSample

# Reports responses to LoadGen: response ids, the concatenated outputs, each response's number of rows.
Complete = Callable[[Int64, Float32, Int64], None]
_UNLIMITED = 1 << 62  # instances: jobs that nodes queue all count as running


@dataclass(kw_only=True)
class QueryCounters:
    """Counters of a test; other threads may read them during the test."""

    issued: int = 0
    planned: int = 0  # of them, in batches that were formed by length, and their tokens
    planned_tokens: int = 0
    completed: int = 0
    tokens: int = 0  # of the completed ones
    computed_tokens: int = 0
    squared_tokens: int = 0  # sum of squared lengths, which attention takes
    first_issue_s: float = 0.0  # time.perf_counter() of the first query; 0 before it
    last_answer_s: float = 0.0

    @property
    def window_s(self) -> float:
        """Seconds from the first query to the last response."""
        return max(self.last_answer_s - self.first_issue_s, 1e-9)


class Scheduler:
    """The queue of one test.

    Args:
        lengths: tokens of every sample of the QSL, by index.
        rows: rows of every sample's output, by index: its tokens or one, depending on the model's head.
        complete: reports responses to LoadGen; called from the executor's threads.
        limits: of a batch; in Server also when a sample is late.
        plan_at_issue: plan batches when a query is issued; False to form them when an instance is free.
        cost: of a batch of a device that computes while the next batch is prepared; None: of no such device.
        room: how many single samples the executor takes at a time, if its nodes form batches; None: they do not.
        on_complete: called after the last response was reported; may rarely be called twice, so it must be idempotent.
    """

    def __init__(  # noqa: PLR0913 - by keyword, each a fact of its own
        self,
        executor: Executor,
        lengths: Int64,
        rows: Int64,
        complete: Complete,
        *,
        limits: BatchLimits,
        plan_at_issue: bool,
        cost: BatchCost | None = None,
        room: Callable[[], int] | None = None,
        on_complete: Callable[[], None] = lambda: None,
    ) -> None:
        self.progress = QueryCounters()
        self.batch_times = BatchTimes()
        self.failure: BaseException | None = None
        self._executor, self._complete = executor, complete
        self._lengths, self._rows, self._on_complete = lengths, rows, on_complete
        self._all_issued, self._answered = False, 0
        self._limits = limits
        self._moved: set[Job] = set()  # lost with their node, and submitted once more
        self._in_flight = ExpectedEnds(executor.instances if room is None else _UNLIMITED, cost)
        self._plan_at_issue, self._room = plan_at_issue or room is not None, room
        self._plans: deque[Iterator[Job]] = deque()
        self._queue = ServerQueue(limits)
        self._lock = threading.Lock()

    def issue_queries(self, ids: Sequence[int], indexes: Sequence[int]) -> None:
        """Take response ids and their samples' QSL indexes. Never raises: LoadGen's thread cannot handle exceptions."""
        try:
            now_s = time.perf_counter()
            self.progress.first_issue_s = self.progress.first_issue_s or now_s
            with self._lock:
                self.progress.issued += len(ids)
                if self._plan_at_issue:
                    self._plans.append(self._plan(np.array(ids, np.int64), np.array(indexes, np.int64), now_s))
                else:
                    for id, index in zip(ids, indexes, strict=True):
                        self._queue.push(WaitingSample(id, index, int(self._lengths[index]), now_s))
                self._dispatch()
        except Exception as error:  # noqa: BLE001 - an exception in a callback would crash the interpreter at exit
            self.fail(error)

    def flush_queries(self) -> None:
        """LoadGen has issued its last query."""
        self._all_issued = True
        self._check_complete()

    def _check_complete(self) -> None:
        if self._all_issued and self._answered == self.progress.issued:
            self._on_complete()

    def _plan(self, ids: Int64, indexes: Int64, now_s: float) -> Iterator[Job]:
        issued_s = np.full(len(ids), now_s)  # jobs have views of it
        if self._room is not None or len(ids) == 1:
            singles = (slice(one, one + 1) for one in range(len(ids)))
            return (Job(ids[one], indexes[one], issued_s=issued_s[one]) for one in singles)
        lengths = self._lengths[indexes]
        self.progress.planned += len(ids)
        self.progress.planned_tokens += int(lengths.sum())
        batches = batching.by_length(
            lengths,
            self._limits.max_batch_tokens,
            packed=self._limits.packed,
            instances=self._executor.instances,
            batch_size=self._limits.batch_size,
        )
        return (Job(ids[batch], indexes[batch], issued_s=issued_s[: len(batch)]) for batch in batches)

    def fail(self, error: BaseException) -> None:
        """Record the first failure; from then on no job is submitted and no query answered."""
        self.failure = self.failure or error

    @property
    def oldest_job(self) -> Job | None:
        """The job that an instance has had for longest; None if all are idle. Takes no lock, which may be held for ever
        where an instance hangs."""
        return self._in_flight.oldest

    def _dispatch(self) -> None:
        while self._has_room() and not self.failure and (job := self._next_job()):
            tokens = int(self._lengths[job.indexes].sum())
            self._in_flight.add(job, tokens, time.perf_counter())
            self._executor.submit(job, self._done)

    def _has_room(self) -> bool:
        """Whether an instance may get another job.

        A busy instance gets its next job early, in Server only if a full batch waits, or if an accelerator is about to
        end its job (expected_ends.py): samples that arrive later may still join a smaller batch.
        """
        instances, in_flight = self._executor.active, len(self._in_flight)
        if self._room is not None:
            return in_flight < self._room()
        if in_flight >= instances * JOBS_PER_INSTANCE:
            return False
        if self._plan_at_issue or self._queue.has_full_batch:
            return True
        return in_flight - self._in_flight.soon(time.perf_counter()) < instances

    def _next_job(self) -> Job | None:
        while self._plans:
            if job := next(self._plans[0], None):
                return job
            self._plans.popleft()
        return self._queue.pop_job(time.perf_counter())

    def _done(self, outcome: Outcome) -> None:
        answer = outcome.answer
        if outcome.lost and outcome.job not in self._moved and not self.failure:
            self._moved.add(outcome.job)
            self._executor.submit(outcome.job, self._done)
            return
        if answer.error or answer.outputs is None:
            self.fail(answer.error or RuntimeError("expected outputs from the backend, found none"))
        if self.failure or answer.outputs is None:
            return
        try:
            self._answer(outcome, answer.outputs)
        except Exception as error:  # noqa: BLE001 - the executor's thread must go on; the watching thread raises it
            self.fail(error)

    def _answer(self, outcome: Outcome, outputs: Float32) -> None:
        job, answer = outcome.job, outcome.answer
        rows, lengths = self._rows[job.indexes], self._lengths[job.indexes]
        expected = (int(rows.sum()), 2)
        if outputs.dtype != np.float32 or outputs.shape != expected:
            raise RuntimeError(f"expected float32 {expected} from the backend, found {outputs.dtype} {outputs.shape}")
        with self._lock:
            self._in_flight.remove(job, time.perf_counter())
            self._dispatch()
        progress = self.progress  # counted before LoadGen gets it: the last response ends the test
        progress.completed += len(rows)
        tokens = int(lengths.sum())
        progress.tokens += tokens
        progress.squared_tokens += int(lengths @ lengths)
        progress.computed_tokens += answer.computed_tokens
        progress.last_answer_s = time.perf_counter()
        self.batch_times.add(
            outcome.instance,
            len(rows),
            answer.batch_s,
            answer.engine_s,
            tokens=tokens,
            computed_tokens=answer.computed_tokens,
            answered_s=progress.last_answer_s,
            issued_s=job.issued_s,
        )
        if not self.failure:
            self._complete(job.ids, outputs, rows)
            self._answered += len(rows)
            self._check_complete()
