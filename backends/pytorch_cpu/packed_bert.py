"""BERT over packed tokens: samples end to end, no padding, in fp32, bf16 or int8.

A layer is four matrix products and three kernels; nothing else passes over memory. The stream that layers add to stays
float32 in every precision; what the products read is handed over by the kernels in the products' own form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.base import Batch
from backends.bert.config import BertConfig
from backends.bert.heads import HEADS
from backends.formats.base import Tensors
from backends.pytorch_cpu.kernels import Activation, Form, Kernels, Norm, Tables
from backends.pytorch_cpu.linear import ByteLinear, FloatLinear, Linear, as_tensor, has_bfloat16
from backends.quantization.int8_model import SOURCES, Arrays, QuantizedModel

_FLOAT = Form(torch.float32)


@dataclass(frozen=True)
class Layer:
    """One encoder layer: its products under their names in an engine, and what ends its two halves."""

    qkv: Linear
    attention_output: Linear
    attention_norm: Norm
    ffn_inner: Linear  # GELU included
    ffn_output: Linear
    ffn_norm: Norm


@dataclass(frozen=True)
class PackedBert:
    """A loaded model; `kernels` are what lies between its matrix products."""

    config: BertConfig
    kernels: Kernels
    tables: Tables
    embedding_norm: Norm
    layers: tuple[Layer, ...]
    head: tuple[tuple[Tensor, Tensor], ...]  # weight and bias of its layers, Tanh between them

    def __call__(self, batch: Batch) -> Tensor:
        """The head's answers, float32 [T, 2] or [B, 2]."""
        ids = as_tensor(batch.input_ids), as_tensor(batch.token_type_ids), as_tensor(batch.position_ids)
        ends = as_tensor(batch.cu_seqlens)
        first = self._room(batch.tokens, self.layers[0].qkv)
        stream = self.kernels.embed(ids, self.tables, self.embedding_norm, first)
        x = first.values if first else stream
        for layer, following in zip(self.layers, (*self.layers[1:], None), strict=True):
            x = self._layer(layer, following, x, stream, ends)
        return self._answers(stream, ends)

    def _answers(self, stream: Tensor, ends: Tensor) -> Tensor:
        x = stream if HEADS[self.config.head].per_token else stream[ends[:-1]]
        *dense, last = self.head
        for layer in dense:
            x = torch.tanh(F.linear(x, *layer))
        return F.linear(x, *last)

    def _layer(self, layer: Layer, following: Layer | None, x: Tensor, stream: Tensor, ends: Tensor) -> Tensor:
        """One layer over x, the stream in the form of its first product; returns the next layer's x."""
        context = layer.attention_output.form.empty(*stream.shape)
        self.kernels.attention(layer.qkv(x), ends, self.config.num_attention_heads, context)
        x = self._add_norm(layer.attention_output(context.values), stream, layer.attention_norm, layer.ffn_inner)
        inner = layer.ffn_output(layer.ffn_inner(x))
        return self._add_norm(inner, stream, layer.ffn_norm, following.qkv if following else None)

    def _add_norm(self, projected: Tensor, stream: Tensor, norm: Norm, reader: Linear | None) -> Tensor:
        to = self._room(len(stream), reader)
        self.kernels.add_norm(projected, stream, norm, to)
        return to.values if to else stream

    def _room(self, tokens: int, reader: Linear | None) -> Activation | None:
        """Room for the reader's input; None where that is the stream itself."""
        if reader is None or reader.form.dtype == torch.float32:
            return None
        return reader.form.empty(tokens, self.config.hidden_size)


def from_floats(config: BertConfig, tensors: Tensors, dtype: torch.dtype, kernels: Kernels) -> PackedBert:
    """A model whose products are in float32 or bfloat16, out of a checkpoint's tensors."""

    def linear(layer: int, name: str) -> FloatLinear:
        at = [f"bert.encoder.layer.{layer}.{source}" for source in SOURCES[name]]
        weight, bias = (torch.cat([as_tensor(tensors[f"{a}.{part}"]) for a in at]) for part in ("weight", "bias"))
        return FloatLinear(weight, bias, dtype, gelu=name == "ffn_inner")

    return _assemble(config, tensors, linear, kernels)


def from_engine(engine: QuantizedModel, kernels: Kernels) -> PackedBert:
    """A model whose products are in int8, out of a built engine."""
    to_attention = Form(torch.bfloat16 if has_bfloat16() else torch.float32)

    def linear(layer: int, name: str) -> ByteLinear:
        if name != "ffn_inner":
            return ByteLinear(engine.linear(layer, name), to_attention)
        following = ByteLinear(engine.linear(layer, "ffn_output"), to_attention)
        return ByteLinear(engine.linear(layer, name), following.form, gelu=True)

    return _assemble(engine.config, engine.tensors, linear, kernels)


def _assemble(
    config: BertConfig, tensors: Arrays, linear: Callable[[int, str], Linear], kernels: Kernels
) -> PackedBert:
    def norm(at: str) -> Norm:
        weight, bias = (as_tensor(tensors[f"{at}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        return Norm(weight, bias, config.layer_norm_eps)

    def layer(number: int) -> Layer:
        at = f"bert.encoder.layer.{number}."
        return Layer(
            linear(number, "qkv"),
            linear(number, "attention_output"),
            norm(f"{at}attention.output"),
            linear(number, "ffn_inner"),
            linear(number, "ffn_output"),
            norm(f"{at}output"),
        )

    embeddings = (f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "token_type", "position"))
    head = HEADS[config.head]
    return PackedBert(
        config,
        kernels,
        Tables(*(as_tensor(tensors[name]) for name in embeddings)),
        norm("bert.embeddings"),
        tuple(layer(number) for number in range(config.num_hidden_layers)),
        tuple(
            (as_tensor(tensors[f"{at}.weight"]), as_tensor(tensors[f"{at}.bias"])) for at in (*head.dense, head.last)
        ),
    )
