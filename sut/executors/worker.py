"""What each instance does: load the backend, warm it up, then gather features and infer, batch after batch.

Features are read where they are used: an instance maps the same files as its neighbours, so a job is only a handful of
indexes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backends import backend_class
from backends.base import Batch, Options, Pending
from backends.bert.model import Model
from backends.errors import BackendError, brief
from foundation.arrays import Int64
from qsl.base import Features
from qsl.feature_cache import FeatureFiles
from sut.executors.base import Answer, Ready

_TIMING_S = 0.2  # how long the last warm-up batch is timed, at least


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """All that an instance needs to start; small, and the same for every instance."""

    backend: str
    options: Options
    model: Model
    features: FeatureFiles | Features  # what is mapped; where no cache could be written, the features themselves
    vocab: Path  # that token ids are of: for messages, nothing here reads it
    max_tokens: int  # of any batch
    shapes: tuple[tuple[int, int], ...]  # (samples, tokens each) to warm up on; the last one is timed
    environment: tuple[tuple[str, str], ...] = ()  # variables that engines' libraries read, set before they are loaded
    warmup_steps: int = 1  # how often each shape is run before the clock
    verbose_dir: Path | None = None  # where what engines print goes, a file for each instance; None: the terminal


class Worker:
    """One loaded backend and the features that it reads; `warm_up` and `measure` it before it answers."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._start_s = time.perf_counter()
        self.spec = spec
        self._features = spec.features.open()
        self._backend = backend_class(spec.backend)(spec.options)
        self._backend.load(spec.model)

    def use_threads(self, threads: int) -> None:
        """What a forked instance says first."""
        self._backend.use_threads(threads)

    def warm_up(self) -> None:
        """Run every shape, `warmup_steps` times. Raises BackendError when a user's graph cannot."""
        if self.spec.model.path is not None and self.spec.model.config is None:
            self._try_graph()
        for _ in range(self.spec.warmup_steps):
            self._backend.warm_up(self.spec.shapes)
        self._load_s = time.perf_counter() - self._start_s

    def measure(self) -> Ready:
        """How fast it is: a batch of the last shape, and one sample of its length."""
        samples, length = self.spec.shapes[-1]
        seconds = self._seconds(samples, length)
        one_s = self._seconds(1, length) if samples > 1 else seconds
        token_s = (seconds - one_s) / ((samples - 1) * length) if samples > 1 else seconds / length
        token_s = min(max(token_s, 1e-9), seconds / (samples * length))
        batch_s = seconds - token_s * samples * length
        return Ready(self._load_s, samples / seconds, batch_s, token_s, self._backend.packed)

    def _seconds(self, samples: int, length: int) -> float:
        """Of the fastest of a few batches; an engine that is slow is timed on its first."""
        seconds: list[float] = []
        while sum(seconds) < _TIMING_S:
            start_s = time.perf_counter()
            self._backend.warm_up([(samples, length)])
            seconds.append(max(time.perf_counter() - start_s, 1e-6))
        return min(seconds)

    def _try_graph(self) -> None:
        """A graph says neither how long its samples may be nor how large its vocabulary is: both are tried here."""
        token = int(np.argmax(self._features.input_ids))
        highest = np.searchsorted(self._features.offsets, [token], side="right") - 1
        longest = max(length for _, length in self.spec.shapes)
        try:
            self._backend.warm_up(self.spec.shapes)
            self._backend.infer(gather(self._features, highest))
        except Exception as error:
            raise BackendError(
                f"expected a graph for any batch of up to {longest} tokens a sample and for ids up to "
                f"{self._features.input_ids[token]} ({self.spec.vocab}), found that {self.spec.model.spec} "
                f"fails there ({brief(error)})."
            ) from error

    def infer(self, indexes: Int64) -> Answer:
        """The answer to these samples, int64 [B]. Never raises: what goes wrong is the answer."""
        return self.begin(indexes).answers()

    def begin(self, indexes: Int64) -> Pending[Answer]:
        """Let the engine begin with these samples, where it computes by itself; `infer` does both."""
        start_s = time.perf_counter()
        try:
            batch = gather(self._features, indexes)
            gathered_s = time.perf_counter()
            pending = self._backend.begin(batch)
        except Exception as error:  # noqa: BLE001 - it travels to the scheduler, which fails the run with it
            failed = Answer(None, error=error)
            return Pending(lambda: True, lambda: failed)

        def answer() -> Answer:
            try:
                outputs, end_s = pending.answers(), time.perf_counter()
                return Answer(outputs, self._backend.computed_tokens(batch), end_s - start_s, end_s - gathered_s)
            except Exception as error:  # noqa: BLE001 - as above
                return Answer(None, error=error)

        return Pending(pending.is_ready, answer)

    def close(self) -> None:
        self._backend.close()


def gather(features: Features, indexes: Int64) -> Batch:
    """These samples, int64 [B], end to end."""
    starts = features.offsets[indexes]
    lengths = features.offsets[indexes + 1] - starts
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    tokens = np.arange(ends[-1])
    where = tokens + np.repeat(starts - ends[:-1], lengths)
    return Batch(
        input_ids=features.input_ids[where].astype(np.int64),
        token_type_ids=features.token_type_ids[where].astype(np.int64),
        position_ids=tokens - np.repeat(ends[:-1], lengths),
        cu_seqlens=ends,
    )
