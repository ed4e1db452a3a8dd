"""PyTorch on the CPU: packed tokens, our matrix products or oneDNN's, our kernels between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch

from backends import BACKENDS, narrowing
from backends.base import Backend, Batch, EngineWork
from backends.bert.architectures import implementation
from backends.bert.checkpoints import read_weights
from backends.bert.config import BertConfig
from backends.bert.encoder import EncoderConfig
from backends.bert.layer_widths import Widths
from backends.bert.model import Model
from backends.formats.base import Tensors
from backends.pytorch_cpu import kernels, onednn, packed_bert, packed_mobilebert, product_trial, weight_zeros
from backends.pytorch_cpu.kernels import CpuKernels, chain, float_product, int8_product, sparse_product
from backends.pytorch_cpu.linear import Int8SparseLinear, LinearLayer
from backends.pytorch_cpu.weight_zeros import Zeros
from backends.quantization.int8_model import QuantizedModel, read_engine
from foundation.arrays import Float32

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Run(Protocol):
    """A loaded model."""

    @property
    def products(self) -> Sequence[LinearLayer]: ...

    def __call__(self, batch: Batch) -> torch.Tensor: ...


class _Packed(NamedTuple):
    """How an architecture is loaded: functions that return a function of a batch."""

    from_floats: Callable[..., Run]  # (config, tensors, dtype, kernels)
    from_engine: Callable[[QuantizedModel, CpuKernels], Run]


def _float_bert(config: BertConfig, tensors: Tensors, dtype: torch.dtype, best: CpuKernels) -> Run:
    return packed_bert.from_floats(config, tensors, dtype, best, float_product.find())


def _bert(engine: QuantizedModel, best: CpuKernels) -> Run:
    product = product_trial.chosen(engine, best, int8_product.find())
    return packed_bert.from_engine(engine, best, product, sparse_product.find())


def _mobilebert(engine: QuantizedModel, best: CpuKernels) -> Run:
    sparse, product = sparse_product.find(), None if onednn.has_exact_int8() else int8_product.find()
    chains = product_trial.chosen_chains(engine, best, chain.find(), sparse, product)
    return packed_mobilebert.from_engine(engine, best, sparse, chains, product)


_PACKED = {  # by `model_type`
    "bert": _Packed(_float_bert, _bert),
    "mobilebert": _Packed(packed_mobilebert.from_floats, _mobilebert),
}


def _architecture(config: EncoderConfig) -> tuple[_Packed, CpuKernels]:
    """The loaders of an architecture, and the fastest kernels for its sizes. Raises BackendError if there is none."""
    packed = implementation(_PACKED, config, "backend pytorch")
    return packed, kernels.best(config.hidden_size, config.head_size)


class PyTorchBackend(Backend):
    """Packed batches in fp32, bf16, or int8 from a built engine."""

    name = "pytorch"
    entry = BACKENDS["pytorch"]
    packed = True
    _widths: Widths | None = None  # of the layers, where structured pruning narrowed them
    _zeros: Zeros | None = None  # of the layers' weights, in int8

    @torch.inference_mode()
    def load(self, model: Model) -> None:
        """Read the weights or the engine and pack them. Raises BackendError if they cannot be read."""
        self.use_threads(self.options.threads)
        if self.options.precision in self.entry.engine_precisions:
            assert model.engine is not None  # built before any instance starts
            engine, self._widths = narrowing.engine(read_engine(model.engine))
            packed, best = _architecture(engine.config)
            self._run, self._config = packed.from_engine(engine, best), engine.config
            self._zeros = weight_zeros.of_engine(engine)
        else:
            weights, dtype = read_weights(model), _DTYPES[self.options.precision]
            packed, best = _architecture(weights.config)
            tensors, self._widths = narrowing.floats(weights.config, weights.tensors)
            self._run, self._config = packed.from_floats(weights.config, tensors, dtype, best), weights.config

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def remark(self) -> str | None:
        return ", ".join(filter(None, (str(self._widths or ""), self._skipped()))) or None

    def work(self) -> EngineWork | None:
        whole: Widths | EncoderConfig = self._widths or self._config
        skipped = sum(one.skipped for one in self._run.products if isinstance(one, Int8SparseLinear))
        if whole is self._config and not skipped:
            return None
        return EngineWork(whole.product_weights - skipped, whole.attention_channels)

    def _skipped(self) -> str | None:
        """How many products skip zeros, or which zeros none does."""
        if self._zeros is None or not self._zeros.is_pruned:
            return None
        products = self._run.products
        if sparse := sum(isinstance(one, Int8SparseLinear) for one in products):
            return f"sparse products {sparse} of {len(products)}, {self._zeros.share:.0%} zeros"
        return f"dense products, {self._zeros.share:.0%} zeros {self._zeros.where}"

    @torch.inference_mode()
    def infer(self, batch: Batch) -> Float32:
        return self._run(batch).numpy()
