"""The contract between the scheduler and whatever runs instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from foundation.arrays import Float32, Int64

# How many jobs an instance may have at once: the one that it works on and the next, which keeps it fed.
JOBS_PER_INSTANCE = 2


@dataclass(frozen=True, eq=False)
class Job:
    """One batch on its way: response ids and QSL indexes, int64 [B], in the same order. Ids travel with their data."""

    ids: Int64
    indexes: Int64


class Answer(NamedTuple):
    """What an instance made of a job: outputs end to end, float32 [rows, 2], or the error that took their place."""

    outputs: Float32 | None
    computed_tokens: int = 0
    batch_s: float = 0.0  # in the instance, from indexes to outputs
    engine_s: float = 0.0  # of that, inside the backend
    error: Exception | None = None
    slot_rows: int | None = None  # on its way between processes: outputs are these rows of a slot (`answer_slots`)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A job with its answer, whose outputs may lie in memory that is used again: they hold until `done` returns."""

    job: Job
    answer: Answer
    instance: int = 0


@dataclass(frozen=True)
class Ready:
    """What an instance says once it is loaded and warm: how fast it was on its last warm-up batches.

    A batch of so many tokens takes about `batch_s + tokens * token_s`.
    """

    load_s: float
    samples_per_s: float
    batch_s: float
    token_s: float
    packed: bool  # the engine runs tokens end to end: a batch costs its real tokens


Done = Callable[[Outcome], None]


class Executor(Protocol):
    """Runs jobs on instances. `done` is called exactly once per job, from a thread of the executor's."""

    instances: int
    failure: Exception | None  # set once an instance is gone, at work or idle

    def start(self) -> list[Ready]:
        """Return when every instance is ready; raise the first error of one that cannot be."""

    def submit(self, job: Job, done: Done) -> None:
        """Hand over a job; returns at once. Never more than JOBS_PER_INSTANCE for each instance at a time."""

    def close(self) -> None:
        """End every instance, at work or not. Jobs still under way are dropped."""
