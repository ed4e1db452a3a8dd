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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sut import batching
from sut.batching import Waiting
from sut.executors.base import Executor, Job, Outcome

# Hands answers to LoadGen: response ids, the answers end to end, each answer's length in rows.
Complete = Callable[[Sequence[int], npt.NDArray[np.float32], Sequence[int]], None]


@dataclass
class Progress:
    """Counters that anyone may read while the run goes on."""

    issued: int = 0
    completed: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    first_issue_s: float = 0.0  # time.perf_counter() of the first query; 0 before it
    last_answer_s: float = 0.0


class Scheduler:
    """One run's queue.

    Args:
        lengths: tokens of every sample of the QSL, by index.
        complete: hands answers to LoadGen; called from the executor's threads.
        per_instance: jobs that an instance may have at once; 2 keeps it fed, 1 leaves a Server's batches time to grow.
        plan_at_issue: True where a query brings all its samples; False to form batches when an instance has room.
    """

    def __init__(
        self,
        executor: Executor,
        lengths: npt.NDArray[np.int64],
        complete: Complete,
        *,
        max_batch_tokens: int,
        per_instance: int,
        plan_at_issue: bool,
    ) -> None:
        self.progress = Progress()
        self.failure: BaseException | None = None
        self._executor, self._complete = executor, complete
        self._lengths: list[int] = lengths.tolist()
        self._max_batch_tokens = max_batch_tokens
        self._room = executor.instances * per_instance
        self._plan_at_issue = plan_at_issue
        self._planned: deque[list[Waiting]] = deque()
        self._queue: list[Waiting] = []
        self._lock = threading.Lock()

    def issue_queries(self, samples: Iterable[tuple[int, int]]) -> None:
        """Take (response id, QSL index) pairs. Never raises: LoadGen's thread cannot take it."""
        try:
            waiting = [Waiting(id, index, self._lengths[index]) for id, index in samples]
            self.progress.first_issue_s = self.progress.first_issue_s or time.perf_counter()
            with self._lock:
                self.progress.issued += len(waiting)
                if self._plan_at_issue:
                    self._planned.extend(batching.by_length(waiting, self._max_batch_tokens))
                else:
                    self._queue.extend(waiting)
                self._dispatch()
        except Exception as error:  # noqa: BLE001 - an exception in a callback would crash the interpreter at exit
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Remember the first failure; from then on nothing is submitted or answered."""
        self.failure = self.failure or error

    def _dispatch(self) -> None:
        while self._room and not self.failure and (batch := self._next_batch()):
            self._room -= 1
            job = Job(tuple(sample.id for sample in batch), tuple(sample.sample_index for sample in batch))
            self._executor.submit(job, self._done)

    def _next_batch(self) -> list[Waiting]:
        if self._planned:
            return self._planned.popleft()
        if not self._queue:
            return []
        batch = batching.oldest_first(self._queue, self._max_batch_tokens)
        gone = {sample.id for sample in batch}
        self._queue = [sample for sample in self._queue if sample.id not in gone]
        return batch

    def _done(self, outcome: Outcome) -> None:
        if outcome.error or outcome.outputs is None:
            self.fail(outcome.error or RuntimeError("a backend gave no answer"))
        if self.failure or outcome.outputs is None:
            return
        try:
            self._answer(outcome, outcome.outputs)
        except Exception as error:  # noqa: BLE001 - the executor's thread must live; run.py raises this
            self.fail(error)

    def _answer(self, outcome: Outcome, outputs: npt.NDArray[np.float32]) -> None:
        lengths = [self._lengths[index] for index in outcome.job.indexes]
        if outputs.dtype != np.float32 or outputs.shape != (sum(lengths), 2):
            raise RuntimeError(
                f"wanted float32 [{sum(lengths)}, 2] from the backend, found {outputs.dtype} {outputs.shape}"
            )
        with self._lock:
            self._room += 1
            self._dispatch()
        progress = self.progress  # counted before LoadGen hears of it: the last answer ends the run
        progress.completed += len(lengths)
        progress.tokens += sum(lengths)
        progress.computed_tokens += outcome.computed_tokens
        progress.last_answer_s = time.perf_counter()
        if not self.failure:
            self._complete(outcome.job.ids, outputs, lengths)
