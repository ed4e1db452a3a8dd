"""PyTorch on the CPU: packed tokens, oneDNN's matrix products, our kernels between them."""

from __future__ import annotations

import torch

from backends import BACKENDS
from backends.base import Backend, Batch
from backends.bert.checkpoints import read_weights
from backends.bert.model import Model
from backends.pytorch_cpu import kernels, packed_bert
from backends.pytorch_cpu.kernels import int8_product
from backends.quantization.int8_model import read_engine
from foundation.arrays import Float32

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class PyTorchBackend(Backend):
    """Packed batches in fp32, bf16, or int8 from a built engine."""

    name = "pytorch"
    entry = BACKENDS["pytorch"]
    packed = True

    @torch.inference_mode()
    def load(self, model: Model) -> None:
        """Read the weights or the engine and pack them. Raises BackendError if they cannot be read."""
        self.use_threads(self.options.threads)
        if self.options.precision in self.entry.engine_precisions:
            assert model.engine is not None  # built before any instance starts
            engine = read_engine(model.engine)
            config = engine.config
            self._bert = packed_bert.from_engine(
                engine, kernels.best(config.hidden_size, config.head_size), int8_product.find()
            )
            return
        weights = read_weights(model)
        best = kernels.best(weights.config.hidden_size, weights.config.head_size)
        dtype = _DTYPES[self.options.precision]
        self._bert = packed_bert.from_floats(weights.config, weights.tensors, dtype, best)

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    @torch.inference_mode()
    def infer(self, batch: Batch) -> Float32:
        return self._bert(batch).numpy()
