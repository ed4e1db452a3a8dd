"""NVIDIA GPUs through PyTorch and Triton: the `Backend` of this package."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backends import BACKENDS
from backends.base import Backend, Batch, Pending
from backends.bert.model import Model
from backends.gpu import device as devices
from backends.gpu.engine import BUCKETS
from foundation.arrays import Float32

_GRAPH_TOKENS = 512  # the longest sample for which a CUDA graph is captured
_SHORT_TOKENS = 64  # up to this length attention has its own kernel


class GpuBackend(Backend):
    """NVIDIA GPUs through Triton kernels of our own: packed tokens, batches in a pipeline, CUDA graphs."""

    name = "gpu"
    entry = BACKENDS["gpu"]
    packed = True

    def load(self, model: Model) -> None:
        """Load `model` on the GPU. Raises BackendError as `device.of`, and if the weights cannot be read."""
        devices.of(self.options.gpu, self.options.precision)
        import torch

        from backends.gpu import cuda_graphs, loading, pipeline

        device = torch.device("cuda", self.options.gpu)
        torch.cuda.set_device(device)
        bert = loading.on_gpu(model, self.options.precision, device)
        self._is_warm = False
        self._pipeline, self._graphs = pipeline.Pipeline(bert, device), cuda_graphs.CudaGraphs(bert, device)

    def begin(self, batch: Batch) -> Pending[Float32]:
        return self._graphs.begin(batch) if self._graphs.takes(batch) else self._pipeline.begin(batch)

    def infer(self, batch: Batch) -> Float32:
        return np.array(self.begin(batch).answers())

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """The first call compiles and allocates everything that batches up to these shapes need."""
        shapes = list(shapes)
        if not self._is_warm:
            self._is_warm = True
            self._prepare(shapes)
        super().warm_up(shapes)

    def _prepare(self, shapes: list[tuple[int, int]]) -> None:
        """Capture CUDA graphs if every batch is one sample; otherwise compile the kernels for each size."""
        longest = max(length for _, length in shapes)
        if all(samples == 1 for samples, _ in shapes):
            self._graphs.capture(min(_GRAPH_TOKENS, longest))
            return
        most = max(samples * length for samples, length in shapes) + longest
        self._pipeline.reserve(most)
        short = min(_SHORT_TOKENS, longest)
        super().warm_up((max(1, tokens // short), short) for tokens in BUCKETS if tokens <= most)
