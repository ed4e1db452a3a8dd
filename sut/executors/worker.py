"""The work of an instance: load the backend, warm it up, then gather features and infer, batch after batch.

All instances have the same features in memory, so a job is only a few indexes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backends import backend_class
from backends.base import Batch, Options, Pending
from backends.bert.model import Model
from backends.errors import BackendError, brief
from foundation.arrays import Int64
from qsl.base import Features
from qsl.feature_cache import FeatureFiles
from sut.executors import blas_threads
from sut.executors.base import Answer, Ready
from sut.nodes.messages import Tokens

_TIMING_S = 0.2  # the last warm-up batch is timed at least this long


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """Everything that an instance needs to start; small, and the same for all instances."""

    backend: str
    options: Options
    model: Model
    features: FeatureFiles | Features  # files to read; if no cache could be written, the features themselves
    vocab: Path  # of the token ids; only for messages
    max_tokens: int  # of any batch
    shapes: tuple[tuple[int, int], ...]  # (samples, tokens each) to warm up on; the last one is timed
    environment: tuple[tuple[str, str], ...] = ()  # variables that engines' libraries read when they are loaded
    warmup_steps: int = 1  # how often each shape is run before the test
    verbose_dir: Path | None = None  # directory for the engines' output, one file per instance; None: the terminal


class Worker:
    """A loaded backend and its features; call `warm_up` and `measure` before `infer`."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._start_s = time.perf_counter()
        self.spec = spec
        blas_threads.use(spec.options.threads)
        self._features = spec.features.open()
        self._backend = backend_class(spec.backend)(spec.options)
        self._backend.load(spec.model)

    def use_threads(self, threads: int) -> None:
        """Set the number of threads; called in a forked instance before anything else."""
        blas_threads.use(threads)
        self._backend.use_threads(threads)

    def warm_up(self) -> None:
        """Run every shape `warmup_steps` times. Raises BackendError if the model cannot run it, or answers with NaN."""
        if self.spec.model.path is not None and self.spec.model.config is None:
            self._try_graph()
        for _ in range(self.spec.warmup_steps):
            self._backend.warm_up(self.spec.shapes)
        if self.spec.model.path is not None:
            self._check_finite()
        self._load_s = time.perf_counter() - self._start_s

    def measure(self) -> Ready:
        """The speed of the instance: times a batch of the last shape, and one sample of that length."""
        samples, length = self.spec.shapes[-1]
        seconds = self._seconds(samples, length)
        one_s = self._seconds(1, length) if samples > 1 else None
        speed = Ready.measured(self._load_s, (samples, length), seconds, one_s, packed=self._backend.packed)
        work = self._backend.work()
        facts = work._asdict() if work else {}
        return replace(speed, blas_threads=blas_threads.used(), remark=self._backend.remark(), **facts)

    def _seconds(self, samples: int, length: int) -> float:
        """The time of the fastest of a few batches; a slow engine runs only one."""
        seconds: list[float] = []
        while sum(seconds) < _TIMING_S:
            start_s = time.perf_counter()
            self._backend.warm_up([(samples, length)])
            seconds.append(max(time.perf_counter() - start_s, 1e-6))
        return min(seconds)

    def _try_graph(self) -> None:
        """Try the longest sample and the highest token id: a graph does not say which it supports."""
        token = int(np.argmax(self._features.input_ids))
        highest = np.searchsorted(self._features.offsets, [token], side="right") - 1
        longest = max(length for _, length in self.spec.shapes)
        try:
            self._backend.warm_up(self.spec.shapes)
            self._backend.infer(gather(self._features, highest))
        except Exception as error:
            raise BackendError(
                f"expected a graph for any batch of up to {longest} tokens per sample and ids up to "
                f"{self._features.input_ids[token]} ({self.spec.vocab}), found that {self.spec.model.spec} "
                f"fails ({brief(error)}). Export it again, or type --backend pytorch, "
                f"which reads its weights alone."
            ) from error

    def _check_finite(self) -> None:
        """Weights may be finite and logits not: of a graph that runs as it is, or beyond a narrow precision's range."""
        if not np.isfinite(self._backend.infer(gather(self._features, np.zeros(1, np.int64)))).all():
            raise BackendError(
                f"expected finite logits from {self.spec.model.spec} in {self.spec.options.precision}, found NaN or "
                f"infinity for the first sample. Type another --model, or a wider --precision."
            )

    def infer(self, work: Int64 | Tokens) -> Answer:
        """The answer to samples by their indexes, int64[B], or themselves. Never raises: an error is part of it."""
        return self.begin(work).answers()

    def begin(self, work: Int64 | Tokens) -> Pending[Answer]:
        """Start a batch of these samples; returns before it is finished if the engine is asynchronous."""
        start_s = time.perf_counter()
        try:
            batch = packed(work) if isinstance(work, Tokens) else gather(self._features, work)
            gathered_s = time.perf_counter()
            pending = self._backend.begin(batch)
        except Exception as error:  # noqa: BLE001 - sent to the scheduler, which fails the run
            failed = Answer(None, error=error)
            return Pending(lambda: True, lambda: failed)

        def answer() -> Answer:
            try:
                outputs, end_s = pending.answers(), time.perf_counter()
                return Answer(outputs, self._backend.computed_tokens(batch), end_s - start_s, end_s - gathered_s)
            except Exception as error:  # noqa: BLE001 - as above
                return Answer(None, error=error)

        def is_ready() -> bool:
            try:
                return pending.is_ready()
            except Exception:  # noqa: BLE001 - `answer` raises it again, and sends it
                return True

        return Pending(is_ready, answer)

    def close(self) -> None:
        self._backend.close()


def gather(features: Features, indexes: Int64) -> Batch:
    """Samples `indexes`, int64[B], as one packed batch."""
    starts = features.offsets[indexes]
    lengths = features.offsets[indexes + 1] - starts
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    tokens = np.arange(ends[-1])
    where = tokens + np.repeat(starts - ends[:-1], lengths)
    return Batch(
        input_ids=features.input_ids[where],
        token_type_ids=features.token_type_ids[where],
        position_ids=(tokens - np.repeat(ends[:-1], lengths)).astype(np.int32),
        cu_seqlens=ends,
    )


def packed(tokens: Tokens) -> Batch:
    """Samples that came as tokens, as one packed batch."""
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(tokens.lengths)])
    positions = np.arange(ends[-1]) - np.repeat(ends[:-1], tokens.lengths)
    return Batch(
        input_ids=tokens.ids,
        token_type_ids=(positions >= np.repeat(tokens.splits, tokens.lengths)).astype(np.int32),
        position_ids=positions.astype(np.int32),
        cu_seqlens=ends,
    )
