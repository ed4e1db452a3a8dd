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

    def computed_tokens(self, batch: Batch) -> int:
        captured = self._graphs.of(batch)
        return captured.tokens if captured else batch.tokens

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """The first call compiles and allocates everything that batches up to these shapes need."""
        shapes = list(shapes)
        if not self._is_warm:
            self._is_warm = True
            with cuda_errors.in_one_line(self.options.gpu):
                self._prepare(shapes)
        super().warm_up(shapes)

    def _prepare(self, shapes: list[tuple[int, int]]) -> None:
        """Compile the kernels for each size, allocate memory for the largest, and capture CUDA graphs.

        There are none where every batch is too large for one, as in Offline.
        """
        from backends.gpu.cuda_graphs import MOST_TOKENS, BatchSizes

        sizes = BatchSizes.of(shapes)
        if sizes.most_samples > 1:
            tried = [tokens for tokens in BUCKETS if tokens <= sizes.most_tokens]
            super().warm_up((max(1, tokens // sizes.longest), min(tokens, sizes.longest)) for tokens in tried)
        if min(samples * length for samples, length in shapes) <= MOST_TOKENS:
            self._graphs.capture(sizes)
        self._pipeline.reserve(max(sizes.most_tokens + sizes.longest, self._graphs.most_tokens))
