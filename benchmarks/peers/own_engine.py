"""This package's packed engine, alone as its peers are: without LoadGen, for `benchmarks.cpu --cpu-time`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import sut
from backends.base import Backend, Batch
from backends.bert.model import Model
from benchmarks.peers.base import Peer, Sample
from foundation import freed_memory
from sut.queries import batching

_BATCH_TOKENS = 1536
_CALIBRATION = 12  # samples; with random weights their number does not matter


class OwnFp32(Peer):
    needs: Sequence[str] = ("torch",)
    precision = "fp32"
    about = "this package, the engine alone, batches of 1,536 tokens by length"

    def load(self, model: Model, folder: Path, threads: int) -> None:
        self._engine = self._opened(model, folder, threads)
        freed_memory.keep()  # as an instance does

    def answer(self, sample: Sample) -> object:
        return self._engine.infer(_batch([sample]))

    def answer_all(self, samples: Sequence[Sample]) -> None:
        lengths = np.array([sample.input_ids.shape[1] for sample in samples])
        for rows in batching.by_length(lengths, _BATCH_TOKENS, packed=True):
            self._engine.infer(_batch([samples[row] for row in rows]))

    def _opened(self, model: Model, folder: Path, threads: int | None) -> Backend:
        """The engine of a run, which `folder` keeps; on all cores without `threads`."""
        return sut.open_backend(
            backend="pytorch", precision=self.precision, model=model.spec, calibration_samples=_CALIBRATION,
            cache_dir=folder, threads=threads,
        )  # fmt: skip


class OwnInt8(OwnFp32):
    precision = "int8"
    about = f"{OwnFp32.about}; p90: one sample at a time"
    one_by_one = True

    def prepare(self, model: Model, folder: Path, calibration: Sequence[Sample]) -> None:
        self._opened(model, folder, None).close()


def _batch(samples: Sequence[Sample]) -> Batch:
    return Batch.of([(sample.input_ids[0], sample.token_type_ids[0]) for sample in samples])
