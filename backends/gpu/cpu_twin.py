"""The gpu backend's engine on the CPU: the same weights, forward pass and batch layout, without a device.

For tests and debugging; no flag of a run leads here. The kernels are the PyTorch twins, or Triton's if
TRITON_INTERPRET=1 was set before this module was imported.
"""

from __future__ import annotations

import torch

from backends.base import Batch
from backends.bert.model import Model
from backends.gpu import gemm_tuning, loading, pipeline
from backends.gpu.kernels import TWIN, GpuKernels
from backends.gpu.packed_bert import GpuBert
from foundation.arrays import Float32


class CpuTwin:
    """A loaded model."""

    def __init__(self, model: Model, precision: str, kernels: GpuKernels = TWIN) -> None:
        """Load `model`. Raises BackendError as `Backend.load`."""
        weights, _ = loading.read(model, precision, torch.device("cpu"))
        self._bert = GpuBert(weights, kernels, gemm_tuning.default(precision))

    @torch.inference_mode()
    def infer(self, batch: Batch) -> Float32:
        """The logits, as `Backend.infer` returns them."""
        numbers = torch.empty(pipeline.integers(batch.tokens), dtype=torch.int32)
        pipeline.lay_out(batch, numbers)
        logits: Float32 = self._bert(pipeline.packed(numbers, batch.tokens, len(batch), batch.max_length)).numpy()
        return logits
