"""What each instance does: load the backend, warm it up, then gather features and infer, batch after batch.

Features are read where they are used: an instance maps the same files as its neighbours, so a job is only a handful of
indexes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backends import backend_class
from backends.base import BackendError, Batch, Options, brief
from backends.checkpoints import Model
from sut import tasks
from sut.executors.base import Ready

_TIMING_S = 0.2  # how long the last warm-up batch is timed, at least


@dataclass(frozen=True)
class WorkerSpec:
    """All that an instance needs to start; small, and the same for every instance."""

    backend: str
    options: Options
    model: Model
    task: str
    dataset: Path
    vocab: Path
    cache_dir: Path
    shapes: tuple[tuple[int, int], ...]  # (samples, tokens each) to warm up on; the last one is timed


class Worker:
    """One loaded, warm backend and the features that it reads."""

    def __init__(self, spec: WorkerSpec) -> None:
        start_s = time.perf_counter()
        self._features = tasks.TASKS[spec.task].load(spec.dataset, spec.vocab, spec.cache_dir)
        self._backend = backend_class(spec.backend)(spec.options)
        self._backend.load(spec.model)
        if spec.model.path is not None and spec.model.config is None:
            self._try_graph(spec)
        self._backend.warm_up(spec.shapes[:-1])
        rate = self._rate(*spec.shapes[-1])
        self.ready = Ready(load_s=time.perf_counter() - start_s, samples_per_s=rate)

    def _rate(self, samples: int, length: int) -> float:
        """Samples per second of the fastest of a few batches; an engine that is slow is timed on its first."""
        seconds: list[float] = []
        while sum(seconds) < _TIMING_S:
            start_s = time.perf_counter()
            self._backend.warm_up([(samples, length)])
            seconds.append(max(time.perf_counter() - start_s, 1e-6))
        return samples / min(seconds)

    def _try_graph(self, spec: WorkerSpec) -> None:
        """A graph says neither how long its samples may be nor how large its vocabulary is: both are tried here."""
        token = int(np.argmax(self._features.input_ids))
        highest = self._features.sample(int(np.searchsorted(self._features.offsets, token, side="right")) - 1)
        longest = max(length for _, length in spec.shapes)
        try:
            self._backend.warm_up(spec.shapes)
            self._backend.infer(Batch.of([highest]))
        except Exception as error:
            raise BackendError(
                f"wanted a graph for any batch of up to {longest} tokens a sample and for ids up to "
                f"{highest[0].max()} ({spec.vocab}), found that {spec.model.spec} fails there ({brief(error)})."
            ) from error

    def infer(self, indexes: Sequence[int]) -> tuple[npt.NDArray[np.float32], int]:
        """Answers to these samples end to end, float32 [T, 2], and the tokens computed for them."""
        batch = Batch.of([self._features.sample(index) for index in indexes])
        return self._backend.infer(batch), self._backend.computed_tokens(batch)

    def close(self) -> None:
        self._backend.close()
