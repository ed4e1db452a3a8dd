"""MobileBERT over packed tokens: samples end to end, no padding, in fp32, bf16 or int8.

Both residual streams, 512 wide around a layer and 128 wide inside of its bottleneck, stay float32 in every precision.
PyTorch's operators do what stands between the products, attention excepted. On x86 from AVX2 on, int8 runs in
`chained_mobilebert` where sizes fit and a trial finds nothing faster (`product_trial.py`). This is its twin.
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
from backends.bert.mobilebert import MobileBertConfig
from backends.formats.base import Tensors
from backends.pytorch_cpu import chained_mobilebert, onednn
from backends.pytorch_cpu.chained_mobilebert import ChainedMobileBert
from backends.pytorch_cpu.kernels import CpuKernels
from backends.pytorch_cpu.kernels.chain import ChainKernels
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.pytorch_cpu.kernels.reference import store
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct
from backends.pytorch_cpu.linear import FloatLinear, LinearLayer, as_tensor, between, int8_linear
from backends.pytorch_cpu.mobilebert_embeddings import Embeddings, embeddings
from backends.quantization.engine_tensors import Arrays
from backends.quantization.int8_model import QuantizedModel


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
        x, cu_seqlens = torch.empty(batch.tokens, self.config.hidden_size), as_tensor(batch.cu_seqlens)
        self.embeddings(batch, x)
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


def from_engine(
    engine: QuantizedModel,
    kernels: CpuKernels,
    sparse: SparseProduct | None = None,
    chains: ChainKernels | None = None,
    product: Int8Product | None = None,
) -> PackedMobileBert | ChainedMobileBert:
    """A model with products in int8, from a built engine; the embeddings' product is not among them.

    Args:
        sparse: a product that skips zeros, for those where it is faster than the dense one.
        chains: run all but the embeddings, if they take this model's sizes; zeros are not skipped then.
        product: our dense product; without, they are others (`linear.int8_linear`).
    """
    config = engine.config
    assert isinstance(config, MobileBertConfig)
    if chains and chained_mobilebert.fits(chains, config):
        return chained_mobilebert.from_engine(engine, config, chains)
    dtype = torch.bfloat16 if onednn.has_bfloat16() else torch.float32

    def linear(layer: int, name: str) -> LinearLayer:
        return int8_linear(engine.linear(layer, name), between(), kernels, product=product, sparse=sparse)

    return _assemble(config, engine.tensors, linear, dtype, kernels)


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

    return PackedMobileBert(
        config=config,
        kernels=kernels,
        embeddings=embeddings(tensors, dtype),
        layers=tuple(layer(number) for number in range(config.num_hidden_layers)),
        head=read(HEADS[config.head].last),
    )
