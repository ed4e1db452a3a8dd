"""BERT over packed tokens: samples end to end, no padding, in fp32, bf16 or int8.

A layer is four matrix products and three kernels; nothing else passes over memory. Kernels write the input of the next
product directly in that product's encoding. The residual stream is float32, and bfloat16 where our own int8 products
add to it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.base import Batch
from backends.bert.architectures import require_bert
from backends.bert.config import BertConfig
from backends.bert.heads import HEADS
from backends.formats.base import Tensors
from backends.pytorch_cpu.kernels import (
    Activation,
    CpuKernels,
    EmbeddingTables,
    Encoding,
    LayerNorm,
    int8_attention,
    residual_stream,
)
from backends.pytorch_cpu.kernels.base import LINE_BYTES
from backends.pytorch_cpu.kernels.float_product import FloatProduct
from backends.pytorch_cpu.kernels.int8_attention import Int8Attention, QkvScales
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.pytorch_cpu.kernels.residual_stream import ResidualStream
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct
from backends.pytorch_cpu.linear import (
    Int8OwnLinear,
    Int8SparseLinear,
    LinearLayer,
    as_tensor,
    between,
    float_linear,
    int8_linear,
)
from backends.quantization.engine_tensors import Arrays
from backends.quantization.int8_model import QuantizedModel

_FLOAT = Encoding(torch.float32)
_INT8_ATTENTION = {  # by the kernels next to oneDNN's products
    "avx512bf16": ("avx512vnni",),
    "avx512vnni": ("avx512vnni",),
    "portable": ("i8mm", "dotprod"),
}


class AddingLayer(LinearLayer, Protocol):
    """A linear layer that can add to the residual stream."""

    def add(self, x: Tensor, stream: Tensor) -> None: ...


@dataclass(frozen=True, kw_only=True)
class PackedLayer:
    """One encoder layer: its linear layers under their names in an engine, and its two LayerNorms.

    Layers may differ in their heads and in the width between `ffn_inner` and `ffn_output` (`narrowing`).
    """

    heads: int
    qkv: LinearLayer
    attention: Int8Attention | None  # None: by the kernels, in the arithmetic of the product's output
    attention_output: LinearLayer
    attention_norm: LayerNorm
    ffn_inner: LinearLayer  # GELU included
    ffn_output: LinearLayer
    ffn_norm: LayerNorm


@dataclass(frozen=True, kw_only=True)
class PackedBert:
    """A loaded model; `kernels` compute everything between its matrix products.

    With a `stream`, products add to it: each layer's `attention_output` and `ffn_output` is an `AddingLayer`.
    """

    config: BertConfig
    kernels: CpuKernels
    tables: EmbeddingTables
    embedding_norm: LayerNorm
    layers: tuple[PackedLayer, ...]
    head: tuple[tuple[Tensor, Tensor], ...]  # weight and bias of each layer, Tanh between them
    stream: ResidualStream | None = None  # None: float32, of `kernels`

    @property
    def products(self) -> tuple[LinearLayer, ...]:
        """The matrix products of all layers."""
        return tuple(getattr(layer, name) for layer in self.layers for name in self.config.linears())

    def __call__(self, batch: Batch) -> Tensor:
        """The head's logits, float32 [T, 2] or [B, 2]."""
        ids = (
            as_tensor(batch.input_ids).long(),
            as_tensor(batch.token_type_ids).long(),
            as_tensor(batch.position_ids).long(),
        )
        cu_seqlens = as_tensor(batch.cu_seqlens)
        first = self._empty_input(batch.tokens, self.layers[0].qkv)
        if self.stream and first:
            stream = self.stream.embed(ids, self.tables, self.embedding_norm, first)
        else:
            stream = self.kernels.embed(ids, self.tables, self.embedding_norm, first)
        x = first.values if first else stream
        for layer, following in zip(self.layers, (*self.layers[1:], None), strict=True):
            x = self._layer(layer, following, x, stream, cu_seqlens)
        return self._logits(x, cu_seqlens)

    def _logits(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        if not HEADS[self.config.head].per_token:
            x = x[cu_seqlens[:-1]]
        *dense, last = self.head
        for layer in dense:
            x = torch.tanh(F.linear(x, *layer))
        return F.linear(x, *last)

    def _layer(
        self, layer: PackedLayer, following: PackedLayer | None, x: Tensor, stream: Tensor, cu_seqlens: Tensor
    ) -> Tensor:
        """One layer applied to x, the stream in the encoding of its first product; returns the next layer's x, or the
        stream in float32."""
        width = layer.heads * self.config.head_size
        context = layer.attention_output.input_encoding.empty(int(cu_seqlens[-1]), width)
        if layer.attention:
            layer.attention(layer.qkv(x), cu_seqlens, context)
        else:
            self.kernels.attention(layer.qkv(x), cu_seqlens, layer.heads, context)
        x = self._add_norm(layer.attention_output, context.values, stream, layer.attention_norm, layer.ffn_inner)
        inner = layer.ffn_inner(x)
        return self._add_norm(layer.ffn_output, inner, stream, layer.ffn_norm, following.qkv if following else None)

    def _add_norm(
        self, product: LinearLayer, x: Tensor, stream: Tensor, norm: LayerNorm, reader: LinearLayer | None
    ) -> Tensor:
        """stream = LayerNorm(stream + product(x)), in place; returns the same as `reader` reads it."""
        if self.stream:
            tokens = stream.shape[1]
            to = self._empty_input(tokens, reader) or _FLOAT.empty(tokens, self.config.hidden_size)
            cast("AddingLayer", product).add(x, stream)
            self.stream.norm(stream, norm, to)
            return to.values
        written = self._empty_input(len(stream), reader)
        self.kernels.add_norm(product(x), stream, norm, written)
        return written.values if written else stream

    def _empty_input(self, tokens: int, reader: LinearLayer | None) -> Activation | None:
        """An uninitialized input for `reader`; None if it reads the stream itself."""
        if reader is None or reader.input_encoding == _FLOAT:
            return None
        return reader.input_encoding.empty(tokens, self.config.hidden_size)


def from_floats(
    config: BertConfig,
    tensors: Tensors,
    dtype: torch.dtype,
    kernels: CpuKernels,
    product: FloatProduct | None = None,
) -> PackedBert:
    """A model with products in float32 or bfloat16, from a checkpoint's tensors, whose layers may be narrow.

    Those in float32 are `product`'s where it fits; the others are oneDNN's.
    """

    @functools.cache
    def linear(layer: int, name: str) -> LinearLayer:
        weight, bias = map(as_tensor, config.linear_weights(tensors, layer, name))
        has_gelu = name == "ffn_inner"
        output = linear(layer, "ffn_output").input_encoding if has_gelu else None
        if name == "qkv" and not _in_whole_blocks(config.head_size, torch.float32):
            output = Encoding(torch.float32)
        return float_linear(weight, bias, dtype, has_gelu, product, output)

    return _assemble(config, tensors, linear, kernels)


def _in_whole_blocks(head_size: int, dtype: torch.dtype) -> bool:
    """Whether each head of an array in blocks of channels begins a block, or lies within one."""
    channels = LINE_BYTES // dtype.itemsize
    return not head_size % channels or not channels % head_size


def from_engine(
    engine: QuantizedModel,
    kernels: CpuKernels,
    product: Int8Product | None = None,
    sparse: SparseProduct | None = None,
) -> PackedBert:
    """A model with products in int8, from a built engine, whose layers may be narrow.

    Without `product` they are others (`linear.int8_linear`), and `sparse` where that is faster.
    """
    in_blocks = product is not None and product.fits(engine.config.hidden_size, engine.config.intermediate_size)
    own, others, head_size = between(in_blocks), between(), engine.config.head_size
    to_attention = own._replace(in_blocks=in_blocks and _in_whole_blocks(head_size, own.dtype))
    to_norm = own._replace(in_blocks=in_blocks)

    @functools.cache
    def attention(layer: int) -> Int8Attention | None:
        variants = (product.variant,) if product and in_blocks else _INT8_ATTENTION.get(kernels.name, ())
        ranges = engine.attention(layer)
        if ranges is None:
            return None
        scales = QkvScales(*(as_tensor(part) for part in ranges))
        following = linear(layer, "attention_output").input_encoding
        heads = len(scales.scale) // (3 * engine.config.head_size)
        found = (int8_attention.find(scales, heads, following, variant) for variant in variants)
        return next(filter(None, found), None)

    @functools.cache
    def linear(layer: int, name: str) -> LinearLayer:
        found = engine.linear(layer, name)
        if name == "ffn_inner":
            outer = linear(layer, "ffn_output")
            inner = int8_linear(found, outer.input_encoding, kernels, True, product, sparse)
            if isinstance(inner, Int8SparseLinear) and isinstance(outer, Int8SparseLinear):
                inner.hand_panels_to(outer)
            return inner
        if name == "qkv" and (reader := attention(layer)):
            shifted = replace(found, bias=found.bias - reader.scales.shift.numpy())
            blocks = reader.encoding._replace(in_blocks=True)  # a head's rows lie end to end: it is read faster
            return int8_linear(shifted, reader.encoding, kernels, False, product, sparse, blocks)
        own_output = to_attention if name == "qkv" else to_norm
        return int8_linear(found, others, kernels, False, product, sparse, own_output)

    bert = _assemble(require_bert(engine.config, "a packed BERT"), engine.tensors, linear, kernels, attention)
    added = (one for layer in bert.layers for one in (layer.attention_output, layer.ffn_output))
    in_pairs_of_blocks = not engine.config.hidden_size % 64  # as a norm walks the stream, of 32 channels a block
    if product and in_pairs_of_blocks and all(isinstance(one, Int8OwnLinear) for one in added):
        return replace(bert, stream=residual_stream.load(product.variant))
    return bert


def _assemble(
    config: BertConfig,
    tensors: Arrays,
    linear: Callable[[int, str], LinearLayer],
    kernels: CpuKernels,
    attention: Callable[[int], Int8Attention | None] = lambda layer: None,
) -> PackedBert:
    def norm(at: str) -> LayerNorm:
        weight, bias = (as_tensor(tensors[f"{at}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        return LayerNorm(weight, bias, config.layer_norm_eps)

    def layer(number: int) -> PackedLayer:
        at = f"bert.encoder.layer.{number}."
        qkv = linear(number, "qkv")
        return PackedLayer(
            heads=qkv.outputs // (3 * config.head_size),
            qkv=qkv,
            attention=attention(number),
            attention_output=linear(number, "attention_output"),
            attention_norm=norm(f"{at}attention.output"),
            ffn_inner=linear(number, "ffn_inner"),
            ffn_output=linear(number, "ffn_output"),
            ffn_norm=norm(f"{at}output"),
        )

    embeddings = (f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "token_type", "position"))
    head = HEADS[config.head]
    return PackedBert(
        config=config,
        kernels=kernels,
        tables=EmbeddingTables(*(as_tensor(tensors[name]) for name in embeddings)),
        embedding_norm=norm("bert.embeddings"),
        layers=tuple(layer(number) for number in range(config.num_hidden_layers)),
        head=tuple(
            (as_tensor(tensors[f"{at}.weight"]), as_tensor(tensors[f"{at}.bias"])) for at in (*head.dense, head.last)
        ),
    )
