"""MobileBERT over packed tokens: samples end to end, no padding, in fp32, bf16 or int8.

Both residual streams, 512 wide around a layer and 128 wide inside of its bottleneck, stay float32 in every precision.
What stands between the products is so little that PyTorch's operators do it, attention excepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.base import Batch
from backends.bert.heads import HEADS
from backends.bert.mobilebert import TRANSFORMATION, MobileBertConfig
from backends.formats.base import Tensors
from backends.pytorch_cpu.kernels import CpuKernels, Encoding
from backends.pytorch_cpu.kernels.reference import store
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct
from backends.pytorch_cpu.linear import FloatLinear, LinearLayer, as_tensor, has_bfloat16, int8_linear
from backends.quantization.engine_tensors import Arrays
from backends.quantization.int8_model import QuantizedModel

_AT = "mobilebert.embeddings."


class NoNorm(NamedTuple):
    """x * weight + bias, float32 [N] each."""

    weight: Tensor
    bias: Tensor

    def add(self, projected: Tensor, residual: Tensor) -> Tensor:
        """NoNorm(projected + residual), float32 [T, N]."""
        return torch.addcmul(self.bias, projected + residual, self.weight)


class FeedForward(NamedTuple):
    """NoNorm(output(relu(inner(a))) + a)."""

    inner: LinearLayer
    output: LinearLayer
    norm: NoNorm


@dataclass(frozen=True, kw_only=True)
class PackedLayer:
    """One encoder layer: its linear layers under their names in an engine, and its NoNorms."""

    bottleneck: LinearLayer
    attention_output: LinearLayer
    attention_norm: NoNorm
    feedforwards: tuple[FeedForward, ...]
    output_bottleneck: LinearLayer
    output_norm: NoNorm


class Embeddings(NamedTuple):
    """The tables, and the product that makes a token's vector of three words' vectors."""

    words: Tensor  # float32 [vocabulary, E]
    types: Tensor  # float32 [types, H]
    positions: Tensor  # float32 [positions, H]
    transformation: LinearLayer  # [T, 3 E] → [T, H]
    norm: NoNorm

    def __call__(self, batch: Batch) -> Tensor:
        """float32 [T, H]."""
        words = self.words[as_tensor(batch.input_ids).long()]
        last, first = as_tensor(batch.cu_seqlens[1:] - 1), as_tensor(batch.cu_seqlens[:-1])
        following, previous = words.roll(-1, 0), words.roll(1, 0)
        following[last], previous[first] = 0, 0  # beyond a sample are zeros
        trigram = torch.cat([following, words, previous], 1)
        placed = (
            self.types[as_tensor(batch.token_type_ids).long()] + self.positions[as_tensor(batch.position_ids).long()]
        )
        return self.norm.add(self.transformation(_encoded(trigram, self.transformation)), placed)


@dataclass(frozen=True, kw_only=True)
class PackedMobileBert:
    """A loaded model; `kernels` compute its attention."""

    config: MobileBertConfig
    kernels: CpuKernels
    embeddings: Embeddings
    layers: tuple[PackedLayer, ...]
    head: tuple[Tensor, Tensor]  # weight and bias

    @property
    def products(self) -> tuple[LinearLayer, ...]:
        """The matrix products of all layers."""
        return tuple(
            product
            for layer in self.layers
            for product in (
                *(layer.bottleneck, layer.attention_output, layer.output_bottleneck),
                *(one for pair in layer.feedforwards for one in pair[:2]),
            )
        )

    def __call__(self, batch: Batch) -> Tensor:
        """The logits of the head, float32 [T, 2]."""
        x, cu_seqlens = self.embeddings(batch), as_tensor(batch.cu_seqlens)
        for layer in self.layers:
            x = self._layer(layer, x, cu_seqlens)
        return F.linear(x, *self.head)

    def _layer(self, layer: PackedLayer, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        width = self.config.intra_bottleneck_size
        wide = layer.bottleneck(_encoded(x, layer.bottleneck))  # [T, 4 N]: queries, keys, values, the residual
        context = layer.attention_output.input_encoding.empty(len(x), width)
        qkv = wide[:, : 3 * width].contiguous()
        self.kernels.attention(qkv, cu_seqlens, self.config.num_attention_heads, context)
        a = layer.attention_norm.add(layer.attention_output(context.values), wide[:, 3 * width :])
        for inner, output, norm in layer.feedforwards:
            widened = F.relu_(inner(_encoded(a, inner)))
            a = norm.add(output(_encoded(widened, output)), a)
        return layer.output_norm.add(layer.output_bottleneck(_encoded(a, layer.output_bottleneck)), x)


def _encoded(x: Tensor, reader: LinearLayer) -> Tensor:
    """x as `reader` takes it."""
    if reader.input_encoding.dtype == x.dtype:
        return x
    to = reader.input_encoding.empty(*x.shape)
    store(x, to)
    return to.values


def from_floats(
    config: MobileBertConfig, tensors: Tensors, dtype: torch.dtype, kernels: CpuKernels
) -> PackedMobileBert:
    """A model with products in float32 or bfloat16, from a checkpoint's tensors."""

    def linear(layer: int, name: str) -> LinearLayer:
        weight, bias = config.linear_weights(tensors, layer, name)
        return FloatLinear(as_tensor(weight), as_tensor(bias), dtype)

    return _assemble(config, tensors, linear, dtype, kernels)


def from_engine(engine: QuantizedModel, kernels: CpuKernels, sparse: SparseProduct | None = None) -> PackedMobileBert:
    """A model with products in int8, from a built engine; the embeddings' product is not among them."""
    dtype = torch.bfloat16 if has_bfloat16() else torch.float32

    def linear(layer: int, name: str) -> LinearLayer:
        return int8_linear(engine.linear(layer, name), Encoding(dtype), sparse=sparse)

    assert isinstance(engine.config, MobileBertConfig)
    return _assemble(engine.config, engine.tensors, linear, torch.float32, kernels)


def _assemble(
    config: MobileBertConfig,
    tensors: Arrays,
    linear: Callable[[int, str], LinearLayer],
    dtype: torch.dtype,
    kernels: CpuKernels,
) -> PackedMobileBert:
    def read(at: str) -> tuple[Tensor, Tensor]:
        return as_tensor(tensors[f"{at}.weight"]), as_tensor(tensors[f"{at}.bias"])

    def layer(number: int) -> PackedLayer:
        at = config.layer_name(number)
        return PackedLayer(
            bottleneck=linear(number, "bottleneck"),
            attention_output=linear(number, "attention_output"),
            attention_norm=NoNorm(*read(f"{at}attention.output.LayerNorm")),
            feedforwards=tuple(
                FeedForward(
                    linear(number, f"{name}_inner"),
                    linear(number, f"{name}_output"),
                    NoNorm(*read(f"{at}{below}output.LayerNorm")),
                )
                for name, below in config.feedforwards.items()
            ),
            output_bottleneck=linear(number, "output_bottleneck"),
            output_norm=NoNorm(*read(f"{at}output.bottleneck.LayerNorm")),
        )

    words, types, positions = (
        as_tensor(tensors[f"{_AT}{name}_embeddings.weight"]) for name in ("word", "token_type", "position")
    )
    return PackedMobileBert(
        config=config,
        kernels=kernels,
        embeddings=Embeddings(
            words, types, positions, FloatLinear(*read(TRANSFORMATION), dtype), NoNorm(*read(f"{_AT}LayerNorm"))
        ),
        layers=tuple(layer(number) for number in range(config.num_hidden_layers)),
        head=read(HEADS[config.head].last),
    )
