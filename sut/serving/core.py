"""The queue of a node: requests in, batches to instances, answers out. Every protocol that a node speaks calls this.

A request that is a batch already, formed by the scheduler of a run, goes to an instance as it is. Single samples wait
in the queue that Server has, and form batches under the same target latency when an instance is free.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from backends.bert.heads import Head
from foundation.arrays import Int64
from qsl.base import Features
from sut.executors.base import JOBS_PER_INSTANCE, Executor, Job, Outcome
from sut.executors.remote.samples import SampleFrames
from sut.nodes.messages import Tokens
from sut.queries.server_queue import BatchLimits, ServerQueue, WaitingSample

_POLL_S = 0.02
_LEAST_SAMPLES, _SHORT = 64, 32  # of a batch of single samples; tokens of a short one


class RefusedRequestError(Exception):
    """A request that the model cannot answer; the message says why."""


@dataclass(frozen=True)
class ModelLimits:
    """What a sample may be; an engine need not notice an index beyond a table."""

    most_length: int  # tokens of a sample
    most_tokens: int  # of a request
    ids: int | None  # rows of the table of words; None: not known
    types: int | None  # likewise of token types

    def check(self, tokens: Tokens) -> None:
        """Raises RefusedRequestError."""
        longest, highest = int(tokens.lengths.max()), int(tokens.ids.max())
        lowest, types = int(tokens.ids.min()), 2 if (tokens.splits < tokens.lengths).any() else 1
        self.check_length(int(tokens.lengths.sum()), longest, len(tokens.lengths))
        if lowest < 0 or (self.ids is not None and highest >= self.ids):
            most = "" if self.ids is None else f" to {self.ids - 1}"
            raise RefusedRequestError(f"expected token ids from 0{most}, found {lowest} to {highest}")
        if self.types is not None and types > self.types:
            raise RefusedRequestError(f"expected {self.types} token types, found {types}")

    def check_length(self, tokens: int, longest: int, samples: int) -> None:
        """Raises RefusedRequestError. A single sample may be longer than a batch."""
        if longest > self.most_length:
            raise RefusedRequestError(f"expected at most {self.most_length} tokens in a sample, found {longest}")
        if samples > 1 and tokens > self.most_tokens:
            raise RefusedRequestError(f"expected at most {self.most_tokens} tokens in a batch, found {tokens}")


@dataclass(frozen=True, eq=False)
class Request:
    """Samples by their indexes in the node's own data set, or as tokens.

    `done` gets one outcome, on a thread of the executor's; the outputs' memory is valid until it returns.
    """

    work: Int64 | Tokens
    done: Callable[[Outcome], None]


class ServingCore:
    """The queue in front of an executor that has been started.

    Args:
        features: of the node's data set, for requests by index.
        head: of the model: rows of a sample's output.
        limits: of batches that are formed here.
    """

    def __init__(
        self, executor: Executor, features: Features, head: Head, limits: BatchLimits, model_limits: ModelLimits
    ) -> None:
        self.model_limits = model_limits
        self.answered = 0  # requests
        self._executor, self._head, self._limits = executor, head, limits
        self._lengths, self._samples = features.lengths, SampleFrames(features)
        self._batches: deque[tuple[Job, list[Request]]] = deque()
        self._queue = ServerQueue(limits)
        self._singles: dict[int, tuple[Tokens, Request]] = {}
        self._numbers = itertools.count()
        self._in_flight: dict[Job, list[Request]] = {}
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """Batches that it takes at a time without letting them wait for more than one other."""
        return self._executor.instances * JOBS_PER_INSTANCE

    @property
    def samples_per_batch(self) -> int:
        """Single samples that wait for each batch of the capacity, so that batches can be full."""
        return max(_LEAST_SAMPLES, self._limits.max_batch_tokens // _SHORT, self._limits.batch_size or 0)

    @property
    def oldest_job(self) -> Job | None:
        """The job that an instance has had for longest; None if all are idle."""
        try:
            return next(iter(self._in_flight), None)
        except RuntimeError:  # it changes at this moment
            return None

    @property
    def is_broken(self) -> bool:
        """Whether an instance has exited: what it had is not answered, and the node ends."""
        return self._executor.failure is not None

    @property
    def is_idle(self) -> bool:
        return not (self._in_flight or self._batches or self._singles)

    def submit_batch(self, request: Request) -> None:
        """Answer a batch as it is. Does not block.

        Raises:
            RefusedRequestError: the model cannot answer it.
        """
        job = self._job(request.work)
        with self._lock:
            self._batches.append((job, [request]))
            self._dispatch()

    def submit_sample(self, request: Request) -> None:
        """Answer a single sample, in a batch with others. Does not block.

        Raises:
            RefusedRequestError: the model cannot answer it.
        """
        job = self._job(request.work)
        tokens = job.tokens or self._samples.tokens(job.indexes)
        with self._lock:
            number = next(self._numbers)
            self._singles[number] = tokens, request
            self._queue.push(WaitingSample(number, number, len(tokens.ids), time.perf_counter()))
            self._dispatch()

    def _job(self, work: Int64 | Tokens) -> Job:
        if isinstance(work, Tokens):
            self.model_limits.check(work)
            nothing = np.zeros(len(work.lengths), np.int64)
            return Job(nothing, nothing, work)
        lengths = self._lengths[work]
        self.model_limits.check_length(int(lengths.sum()), int(lengths.max()), len(work))
        return Job(work, work)

    def _dispatch(self) -> None:
        while found := self._next():
            job, requests = found
            self._in_flight[job] = requests
            self._executor.submit(job, self._done)

    def _next(self) -> tuple[Job, list[Request]] | None:
        """The next job, if an instance may have it: a second one early only if it is a whole batch."""
        instances, in_flight = self._executor.active, len(self._in_flight)
        if in_flight >= instances * JOBS_PER_INSTANCE:
            return None
        if self._batches:
            return self._batches.popleft()
        if in_flight < instances or self._queue.has_full_batch:
            return self._formed()
        return None

    def _formed(self) -> tuple[Job, list[Request]] | None:
        formed = self._queue.pop_job(time.perf_counter())
        if formed is None:
            return None
        samples, requests = zip(*(self._singles.pop(number) for number in formed.ids.tolist()), strict=True)
        return Job(formed.ids, formed.ids, _joined(samples)), list(requests)

    def _done(self, outcome: Outcome) -> None:
        with self._lock:
            requests = self._in_flight.pop(outcome.job)
            self._dispatch()
        self.answered += len(requests)
        if len(requests) == 1 or outcome.job.tokens is None:
            requests[0].done(outcome)
            return
        for request, part in zip(requests, self._parts(outcome, outcome.job.tokens), strict=True):
            request.done(part)

    def _parts(self, outcome: Outcome, tokens: Tokens) -> Iterator[Outcome]:
        """The outcome of each sample of a batch that was formed here, with its share of the batch's work and time."""
        answer, start, done, count = outcome.answer, 0, 0, len(tokens.lengths)
        for number, rows in enumerate(self._head.rows(tokens.lengths).tolist(), start=1):
            outputs = None if answer.outputs is None else answer.outputs[start : start + rows]
            computed = answer.computed_tokens * number // count - done
            part = answer._replace(
                outputs=outputs,
                computed_tokens=computed,
                batch_s=answer.batch_s / count,
                engine_s=answer.engine_s / count,
            )
            yield Outcome(outcome.job, part, outcome.instance)
            start, done = start + rows, done + computed

    def drain(self, patience_s: float) -> bool:
        """Wait until everything is answered; False if it is not in time."""
        until_s = time.monotonic() + patience_s
        while not self.is_idle and time.monotonic() < until_s:
            time.sleep(_POLL_S)
        return self.is_idle


def _joined(samples: Sequence[Tokens]) -> Tokens:
    """Single samples as one batch."""
    ids, lengths, splits = (np.concatenate(parts) for parts in zip(*samples, strict=True))
    return Tokens(ids, lengths, splits)
