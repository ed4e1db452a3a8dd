"""NVIDIA GPUs through PyTorch and Triton: what a run sees of this package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from backends.base import Backend, Batch, Float32, Pending
from backends.checkpoints import Model
from backends.gpu import device as devices

_GRAPH_TOKENS = 512  # of the longest sample that gets a graph


class GpuBackend(Backend):
    name = "gpu"
    precisions: ClassVar[tuple[str, ...]] = ("fp16", "bf16", "fp8", "int8")
    engine_precisions: ClassVar[tuple[str, ...]] = ("fp8", "int8")
    packed = True

    def load(self, model: Model) -> None:
        """Raises BackendError, as `device.of` does."""
        devices.of(self.options.gpu, self.options.precision)
        import torch

        from backends.gpu import graphs, loading, stream

        device = torch.device("cuda", self.options.gpu)
        torch.cuda.set_device(device)
        bert = loading.on_gpu(model, self.options.precision, device)
        self._is_warm = False
        self._stream, self._graphs = stream.Stream(bert, device), graphs.Graphs(bert, device)

    def begin(self, batch: Batch) -> Pending:
        return self._graphs.begin(batch) if self._graphs.takes(batch) else self._stream.begin(batch)

    def infer(self, batch: Batch) -> Float32:
        return np.array(self.begin(batch).answers())

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """The first time, a scenario that brings one sample at a time has its graphs captured."""
        shapes = list(shapes)
        if not self._is_warm and all(samples == 1 for samples, _ in shapes):
            self._graphs.capture(min(_GRAPH_TOKENS, max(length for _, length in shapes)))
        self._is_warm = True
        super().warm_up(shapes)
