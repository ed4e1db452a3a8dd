"""The MLPerf reference in PyTorch: one sample at a time, padded to 384."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.bert.model import Model
from benchmarks.peers.base import PADDED_LENGTH, Peer, Sample


class PyTorchReference(Peer):
    needs: Sequence[str] = ("torch", "transformers")
    precision = "fp32"
    padded_to = PADDED_LENGTH
    about = "as in the MLPerf reference: transformers, SDPA, one sample at a time, padded to 384"

    def load(self, model: Model, folder: Path, threads: int) -> None:
        import torch

        from benchmarks.peers import export

        torch.set_num_threads(threads)
        self._torch = torch
        self._model: Any = export.transformers_model(model)

    def answer(self, sample: Sample) -> object:
        with self._torch.inference_mode():
            found = self._model(**{name: self._torch.from_numpy(array) for name, array in sample._asdict().items()})
        return found.start_logits.numpy(), found.end_logits.numpy()
