"""NVIDIA GPUs through PyTorch and Triton: the `Backend` of this package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from backends import BACKENDS
from backends.base import Backend, Batch, Pending
from backends.bert.model import Model
from backends.gpu import cuda_errors
from backends.gpu import device as devices
from backends.gpu.engine import BUCKETS
from foundation.arrays import Float32

if TYPE_CHECKING:
    from backends.gpu.runtime import Gpu

_GRAPH_TOKENS = 512  # the longest sample for which a CUDA graph is captured
_SHORT_TOKENS = 64  # up to this length attention has its own kernel


class GpuBackend(Backend):
    """NVIDIA GPUs through Triton kernels of our own: packed tokens, batches in a pipeline, CUDA graphs.

    An error of CUDA, in any call and in what `begin` returns, is a BackendError of one line.
    """

    name = "gpu"
    entry = BACKENDS["gpu"]
    packed = True

    def open(self) -> Gpu:
        """The GPU of the options. Raises BackendError as `device.of`."""
        devices.of(self.options.gpu, self.options.precision)
        from backends.gpu.runtime import CudaGpu

        return CudaGpu(self.options.gpu)

    def load(self, model: Model) -> None:
        """Load `model` on the GPU. Raises BackendError as `device.of`, and if the weights cannot be read."""
        with cuda_errors.in_one_line(self.options.gpu):
            gpu = self.open()
            from backends.gpu import cuda_graphs, loading, pipeline

            bert = loading.on_gpu(model, self.options.precision, gpu)
            self._is_warm = False
            self._pipeline, self._graphs = pipeline.Pipeline(bert, gpu), cuda_graphs.CudaGraphs(bert, gpu)

    def begin(self, batch: Batch) -> Pending[Float32]:
        with cuda_errors.in_one_line(self.options.gpu):
            pending = self._pipeline.begin(batch, self._graphs.of(batch))

        def is_ready() -> bool:
            with cuda_errors.in_one_line(self.options.gpu):
                return pending.is_ready()

        def answers() -> Float32:
            with cuda_errors.in_one_line(self.options.gpu):
                return pending.answers()

        return Pending(is_ready, answers)

    def infer(self, batch: Batch) -> Float32:
        return np.array(self.begin(batch).answers())

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """The first call compiles and allocates everything that batches up to these shapes need."""
        shapes = list(shapes)
        if not self._is_warm:
            self._is_warm = True
            with cuda_errors.in_one_line(self.options.gpu):
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
