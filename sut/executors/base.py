"""The contract between the scheduler and executors, which run the instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from foundation.arrays import Float32, Float64, Int64
from foundation.people_numbers import figure
from sut.errors import RunFailedError
from sut.nodes.messages import Tokens

# Jobs that an instance may have at once: the running one and the next, so that it never waits for work.
JOBS_PER_INSTANCE = 2
LOAD_PATIENCE_S = 1800.0  # for an instance to load and to warm up; compiling for a GPU takes minutes


@dataclass(frozen=True, eq=False)
class Job:
    """One batch: response ids and QSL indexes, int64[B], in the same order, so that ids stay with their data.

    A job of a node may have the samples themselves, which need not be in its data set.
    """

    ids: Int64
    indexes: Int64
    tokens: Tokens | None = None
    issued_s: Float64 | None = None  # time.perf_counter() of each sample's issue, float64[B]

    @property
    def work(self) -> Int64 | Tokens:
        """What an instance gets."""
        return self.indexes if self.tokens is None else self.tokens


class Answer(NamedTuple):
    """An instance's answer to a job: the concatenated outputs, float32[rows, 2], or an error."""

    outputs: Float32 | None
    computed_tokens: int = 0
    batch_s: float = 0.0  # in the instance, from indexes to outputs
    engine_s: float = 0.0  # of that, inside the backend
    error: Exception | None = None
    slot_rows: int | None = None  # between processes: the outputs are the first rows of a slot (`answer_slots`)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A job with its answer. The outputs' memory may be reused: they are valid until `done` returns."""

    job: Job
    answer: Answer
    instance: int = 0
    lost: bool = False  # the node was lost before it answered: the error says how. Only of remote executors


@dataclass(frozen=True)
class Ready:
    """A loaded and warmed-up instance, and its speed on its last warm-up batches.

    A batch takes about `batch_s + tokens * token_s` seconds.
    """

    load_s: float
    samples_per_s: float
    batch_s: float
    token_s: float
    packed: bool  # the engine computes no padding: the cost of a batch is its real tokens
    blas_threads: int | None = None  # of numpy's BLAS and others in the instance; None: not known
    remark: str | None = None  # of the loaded engine; see `Backend.remark`
    product_weights: int | None = None  # that the engine multiplies, see `EngineWork`; None: all of the geometry's
    attention_channels: int | None = None

    @classmethod
    def measured(
        cls, load_s: float, shape: tuple[int, int], seconds: float, one_s: float | None, *, packed: bool
    ) -> Ready:
        """The speed from the time of a batch of this shape, (samples, tokens each), and of one such sample alone."""
        samples, length = shape
        token_s = seconds / length if one_s is None else (seconds - one_s) / ((samples - 1) * length)
        token_s = min(max(token_s, 1e-9), seconds / (samples * length))
        return cls(load_s, samples / seconds, seconds - token_s * samples * length, token_s, packed)


def load_stalled(name: str, patience_s: float) -> RunFailedError:
    """The error for an instance that does not get ready."""
    return RunFailedError(
        f"expected {name} to load and warm up within {figure(patience_s)} s, found that it is not ready. If it "
        "needs longer, type --stall-timeout-s with more seconds."
    )


Done = Callable[[Outcome], None]


class Executor(Protocol):
    """Runs jobs on instances. `done` is called exactly once per job, from a thread of the executor's.

    `running.command` chooses the executor of a run. An example: instances that are threads around one loaded backend:

    >>> class ThreadExecutor:
    ...     failure = None
    ...
    ...     def __init__(self, backend, features, instances):
    ...         self.backend, self.features = backend, features
    ...         self.instances = self.active = instances
    ...         self.threads = ThreadPoolExecutor(instances)
    ...
    ...     def start(self):
    ...         return [Ready(load_s=0, samples_per_s=1e4, batch_s=1e-4, token_s=1e-6, packed=True)] * self.instances
    ...
    ...     def submit(self, job, done):
    ...         self.threads.submit(lambda: done(Outcome(job, self.answer(job))))
    ...
    ...     def answer(self, job):
    ...         batch = Batch.of([self.features.sample(index) for index in job.indexes])
    ...         try:
    ...             return Answer(self.backend.infer(batch), self.backend.computed_tokens(batch))
    ...         except Exception as error:
    ...             return Answer(None, error=error)
    ...
    ...     def close(self):
    ...         self.threads.shutdown(wait=False, cancel_futures=True)
    """

    instances: int  # all; outcomes have their numbers
    failure: Exception | None  # set when an instance has exited, busy or idle

    @property
    def active(self) -> int:
        """Instances that take jobs now: fewer while a node of several is lost."""

    def start(self) -> list[Ready]:
        """Start all instances and wait until they are ready. Raises the first error of an instance."""

    def submit(self, job: Job, done: Done) -> None:
        """Submit a job; returns at once. At most JOBS_PER_INSTANCE jobs per active instance at a time."""

    def close(self) -> None:
        """Stop all instances, even during a batch; running jobs are dropped."""
