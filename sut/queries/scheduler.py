"""From LoadGen's queries to jobs on instances and back: the only place that knows which id waits for what.

`issue_queries` runs on LoadGen's thread and returns at once; `_done` runs on the executor's. Offline, SingleStream and
MultiStream know all their samples when a query is issued, so batches are planned there; Server's batches are made when
an instance has room, out of whatever waits by then.

After a failure nothing more is answered: LoadGen cannot be told to stop, and a run whose remaining queries were
answered with nothing could end with a summary that says VALID. `run.py` sees `failure` and leaves
LoadGen where it stands.
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
from sut.queries.server_queue import Pace, ServerQueue, Waiting

# Hands answers to LoadGen: response ids, the answers end to end, each answer's rows.
Complete = Callable[[Int64, Float32, Int64], None]


@dataclass
class Progress:
    """Counters that anyone may read while the run goes on."""

    issued: int = 0
    completed: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    first_issue_s: float = 0.0  # time.perf_counter() of the first query; 0 before it
    last_answer_s: float = 0.0

    @property
    def window_s(self) -> float:
        """Seconds from the first query to the last answer."""
        return max(self.last_answer_s - self.first_issue_s, 1e-9)


class Scheduler:
    """One run's queue.

    Args:
        lengths: tokens of every sample of the QSL, by index.
        rows: and of its answer, as the model's head has them: its tokens again, or one.
        complete: hands answers to LoadGen; called from the executor's threads.
        pace: how large a batch may be; for a Server also what is late.
        plan_at_issue: True where a query brings all its samples; False to form batches when an instance has room.
        over: called when all is issued and the last answer is with LoadGen; in a close race twice.
    """

    def __init__(
        self,
        executor: Executor,
        lengths: Int64,
        rows: Int64,
        complete: Complete,
        *,
        pace: Pace,
        plan_at_issue: bool,
        over: Callable[[], None] = lambda: None,
    ) -> None:
        self.progress = Progress()
        self.batch_times = BatchTimes()
        self.failure: BaseException | None = None
        self._executor, self._complete = executor, complete
        self._lengths, self._rows, self._over = lengths, rows, over
        self._all_issued, self._answered = False, 0
        self._pace = pace
        self._under_way = 0  # jobs
        self._plan_at_issue = plan_at_issue
        self._plans: deque[Iterator[Job]] = deque()
        self._queue = ServerQueue(pace)
        self._lock = threading.Lock()

    def issue_queries(self, ids: Sequence[int], indexes: Sequence[int]) -> None:
        """Take response ids and their samples' QSL indexes. Never raises: LoadGen's thread cannot take it."""
        try:
            now_s = time.perf_counter()
            self.progress.first_issue_s = self.progress.first_issue_s or now_s
            with self._lock:
                self.progress.issued += len(ids)
                if self._plan_at_issue:
                    self._plans.append(self._plan(np.array(ids, np.int64), np.array(indexes, np.int64)))
                else:
                    for id, index in zip(ids, indexes, strict=True):
                        self._queue.push(Waiting(id, index, int(self._lengths[index]), now_s))
                self._dispatch()
        except Exception as error:  # noqa: BLE001 - an exception in a callback would crash the interpreter at exit
            self.fail(error)

    def flush_queries(self) -> None:
        """LoadGen has issued its last query."""
        self._all_issued = True
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if self._all_issued and self._answered == self.progress.issued:
            self._over()

    def _plan(self, ids: Int64, indexes: Int64) -> Iterator[Job]:
        batches = batching.by_length(
            self._lengths[indexes],
            self._pace.max_batch_tokens,
            packed=self._pace.packed,
            instances=self._executor.instances,
            batch_size=self._pace.batch_size,
        )
        return (Job(ids[batch], indexes[batch]) for batch in batches)

    def fail(self, error: BaseException) -> None:
        """Remember the first failure; from then on nothing is submitted or answered."""
        self.failure = self.failure or error

    def _dispatch(self) -> None:
        while self._has_room() and not self.failure and (job := self._next_job()):
            self._under_way += 1
            self._executor.submit(job, self._done)

    def _has_room(self) -> bool:
        """An instance without work has room; a busy one for the job after that, in a Server while a whole batch waits:
        what comes later may still join a smaller one."""
        is_ahead = self._plan_at_issue or self._queue.has_whole_batch
        return self._under_way < self._executor.instances * (JOBS_PER_INSTANCE if is_ahead else 1)

    def _next_job(self) -> Job | None:
        while self._plans:
            if job := next(self._plans[0], None):
                return job
            self._plans.popleft()
        return self._queue.pop_job(time.perf_counter())

    def _done(self, outcome: Outcome) -> None:
        answer = outcome.answer
        if answer.error or answer.outputs is None:
            self.fail(answer.error or RuntimeError("a backend gave no answer"))
        if self.failure or answer.outputs is None:
            return
        try:
            self._answer(outcome, answer.outputs)
        except Exception as error:  # noqa: BLE001 - the executor's thread must live; run.py raises this
            self.fail(error)

    def _answer(self, outcome: Outcome, outputs: Float32) -> None:
        job, answer = outcome.job, outcome.answer
        rows = self._rows[job.indexes]
        wanted = (int(rows.sum()), 2)
        if outputs.dtype != np.float32 or outputs.shape != wanted:
            raise RuntimeError(f"expected float32 {wanted} from the backend, found {outputs.dtype} {outputs.shape}")
        with self._lock:
            self._under_way -= 1
            self._dispatch()
        progress = self.progress  # counted before LoadGen hears of it: the last answer ends the run
        progress.completed += len(rows)
        progress.tokens += int(self._lengths[job.indexes].sum())
        progress.computed_tokens += answer.computed_tokens
        progress.last_answer_s = time.perf_counter()
        self.batch_times.add(outcome.instance, len(rows), answer.batch_s, answer.engine_s)
        if not self.failure:
            self._complete(job.ids, outputs, rows)
            self._answered += len(rows)
            self._look_whether_over()
