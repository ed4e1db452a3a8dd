"""transformers on a GPU in the usual way: float16, SDPA, batches padded to 384; eager and with torch.compile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from backends.bert.model import Model
from benchmarks.peers.base import PADDED_LENGTH, Peer, Sample

_BATCH = 128  # samples


class PyTorchGpu(Peer):
    needs: Sequence[str] = ("torch", "transformers", "triton")
    precision = "fp16"
    padded_to = PADDED_LENGTH
    on_gpu = True
    about = "transformers, float16, SDPA, batches of 128 padded to 384"
    compiled = False

    def load(self, model: Model, folder: Path, threads: int) -> None:
        import torch

        from benchmarks.peers import export

        self._torch = torch
        found: Any = export.transformers_model(model).half().cuda()
        self._model: Any = torch.compile(found) if self.compiled else found

    def answer(self, sample: Sample) -> object:
        self.answer_all([sample])
        return None

    def answer_all(self, samples: Sequence[Sample]) -> None:
        """The last batch is filled up, so that all have one shape; a batch is computed while the next one is made."""
        found = [self._enqueue(batch) for batch in _batches(samples)]
        for logits in (one for pair in found for one in pair):
            logits.cpu()

    def _enqueue(self, batch: Sequence[Sample]) -> tuple[Any, Any]:
        torch = self._torch
        fields = {
            name: torch.cat([torch.from_numpy(getattr(sample, name)) for sample in batch]).pin_memory()
            for name in Sample._fields
        }
        with torch.inference_mode():
            found = self._model(**{name: field.to("cuda", non_blocking=True) for name, field in fields.items()})
        return found.start_logits, found.end_logits


class PyTorchGpuCompiled(PyTorchGpu):
    about = "the same with torch.compile"
    compiled = True


def _batches(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), _BATCH):
        batch = list(samples[start : start + _BATCH])
        yield batch + [batch[-1]] * (_BATCH - len(batch))
