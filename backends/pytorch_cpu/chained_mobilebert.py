"""MobileBERT in int8 on x86 from AVX2 on: a layer is its attention, and one chain of the products up to the next.

A chain begins with the context and ends with the next layer's queries, keys, values and residual. The NoNorms' weights
are in the products' scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from backends.base import Batch
from backends.bert.heads import HEADS
from backends.bert.mobilebert import MobileBertConfig
from backends.pytorch_cpu import onednn
from backends.pytorch_cpu.kernels import Encoding
from backends.pytorch_cpu.kernels.base import Activation
from backends.pytorch_cpu.kernels.chain import NARROW, RELU, STREAM, WIDE, Chain, ChainKernels, Step
from backends.pytorch_cpu.linear import LinearLayer, as_tensor, input_encoding
from backends.pytorch_cpu.mobilebert_embeddings import Embeddings, embeddings
from backends.quantization.engine_tensors import Arrays
from backends.quantization.int8_model import QuantizedLinear, QuantizedModel
from foundation.arrays import Float32

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ChainedMobileBert:
    """A loaded model."""

    config: MobileBertConfig
    kernels: ChainKernels
    embeddings: Embeddings
    first: Encoding  # of the embeddings
    first_chain: Chain
    contexts: tuple[Encoding, ...]  # of each layer
    chains: tuple[Chain, ...]
    head: tuple[Tensor, Tensor]  # weight and bias

    @property
    def products(self) -> tuple[LinearLayer, ...]:
        """None: they are the chains' own."""
        return ()

    def __call__(self, batch: Batch) -> Tensor:
        """The logits of the head, float32 [T, 2]."""
        config, cu_seqlens = self.config, as_tensor(batch.cu_seqlens)
        rows = -(-batch.tokens // self.kernels.rows_multiple) * self.kernels.rows_multiple
        stream, wide = (
            torch.empty(rows, config.hidden_size),
            torch.empty(rows, 4 * config.intra_bottleneck_size, dtype=torch.bfloat16),
        )
        self.embeddings(batch, stream[: batch.tokens])
        x = self.first.empty(rows, config.hidden_size)
        self.kernels.encode(stream, x)
        self._run(self.first_chain, x, stream, wide)
        for encoding, chain in zip(self.contexts, self.chains, strict=True):
            context = encoding.empty(rows, config.attention_size)
            self.kernels.attention(wide, cu_seqlens, config.num_attention_heads, config.head_size, context)
            self._run(chain, context, stream, wide)
        return F.linear(stream[: batch.tokens], *self.head)

    def _run(self, chain: Chain, x: Activation, stream: Tensor, wide: Tensor) -> None:
        chain(x.values, stream, wide, self.config.intra_bottleneck_size)


def fits(kernels: ChainKernels, config: MobileBertConfig) -> bool:
    """True if the kernels take all sizes of this model."""
    sizes = all(kernels.fits(one.inputs, one.outputs) for one in config.linears().values())
    return sizes and kernels.fits_head(config.head_size)


def from_engine(engine: QuantizedModel, config: MobileBertConfig, kernels: ChainKernels) -> ChainedMobileBert:
    """The model of a built engine."""
    numbers = range(config.num_hidden_layers)
    layers = [{name: engine.linear(number, name) for name in config.linears()} for number in numbers]
    after = [*layers[1:], None]
    last = HEADS[config.head].last
    return ChainedMobileBert(
        config=config,
        kernels=kernels,
        embeddings=embeddings(engine.tensors, torch.bfloat16 if onednn.has_bfloat16() else torch.float32),
        first=input_encoding(layers[0]["bottleneck"]),
        first_chain=Chain(kernels, [_wide(layers[0]["bottleneck"])]),
        contexts=tuple(input_encoding(layer["attention_output"]) for layer in layers),
        chains=tuple(
            Chain(kernels, _steps(config, engine.tensors, config.layer_name(number), layer, following))
            for number, (layer, following) in enumerate(zip(layers, after, strict=True))
        ),
        head=(as_tensor(engine.tensors[f"{last}.weight"]), as_tensor(engine.tensors[f"{last}.bias"])),
    )


def _steps(
    config: MobileBertConfig,
    tensors: Arrays,
    at: str,
    layer: Mapping[str, QuantizedLinear],
    following: Mapping[str, QuantizedLinear] | None,
) -> list[Step]:
    """From a layer's context to the next layer's `bottleneck`."""

    def added(kind: int, name: str, norm: str, reader: QuantizedLinear | None) -> Step:
        weight, bias = (tensors[f"{at}{norm}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return _added(kind, layer[name], weight, bias, reader)

    names = list(config.feedforwards.items())
    readers = [layer[f"{name}_inner"] for name, _ in names] + [layer["output_bottleneck"]]
    steps = [added(NARROW, "attention_output", "attention.output", readers[0])]
    for (name, below), reader in zip(names, readers[1:], strict=True):
        steps.append(_relu(layer[f"{name}_inner"], layer[f"{name}_output"]))
        steps.append(added(NARROW, f"{name}_output", f"{below}output", reader))
    after = following["bottleneck"] if following else None
    steps.append(added(STREAM, "output_bottleneck", "output.bottleneck", after))
    return [*steps, _wide(after)] if after else steps


def _scale_and_offset(linear: QuantizedLinear) -> tuple[Float64, Float64]:
    """Of y = (x · weightᵀ) * scale + offset, x being bytes; float64 [N]."""
    scale = linear.weight_scale.astype(np.float64) * linear.input_scale
    return scale, linear.bias - linear.weight.sum(1, dtype=np.int64) * linear.input_zero_point * scale


def _tensor(values: Float32 | Float64) -> Tensor:
    return as_tensor(np.ascontiguousarray(values, np.float32))


def _wide(linear: QuantizedLinear) -> Step:
    scale, offset = _scale_and_offset(linear)
    return Step(WIDE, as_tensor(linear.weight), _tensor(scale), _tensor(offset))


def _relu(linear: QuantizedLinear, reader: QuantizedLinear) -> Step:
    """relu's output in the steps of its reader: both are positive factors."""
    scale, offset = _scale_and_offset(linear)
    by = 1 / (reader.input_smooth.astype(np.float64) * reader.input_scale)
    zero_point = reader.input_zero_point
    return Step(RELU, as_tensor(linear.weight), _tensor(scale * by), _tensor(offset * by), zero_point=zero_point)


def _added(kind: int, linear: QuantizedLinear, weight: Float32, bias: Float32, reader: QuantizedLinear | None) -> Step:
    """NoNorm(linear + residual), and its bytes for `reader`."""
    scale, offset = _scale_and_offset(linear)
    encoding = input_encoding(reader) if reader else None
    return Step(
        kind,
        as_tensor(linear.weight),
        _tensor(scale * weight),
        _tensor(offset * weight + bias),
        residual=_tensor(weight),
        multiplier=encoding.multiplier if encoding else None,
        zero_point=encoding.zero_point if encoding else 0,
    )
