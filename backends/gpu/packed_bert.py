"""BERT over packed tokens on any device: four products and three kernels per layer, nothing else passes over memory.

The kernels are parameters, Triton's or their twins, so tests run this code on the CPU against the reference. Nothing
here waits for the device, so that a whole batch is enqueued at once, or captured as a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.bert.heads import HEADS
from backends.gpu.gemm_tuning import TunedProduct
from backends.gpu.hopper import attention as hopper
from backends.gpu.kernels import GpuKernels
from backends.gpu.weights import GpuLayer, GpuWeights
from backends.pytorch_cpu.kernels import Encoding, LayerNorm
from backends.quantization.int8_model import LINEARS


@dataclass(frozen=True)
class DeviceBatch:
    """A batch on the device: B samples end to end, T tokens; int32 or int64."""

    ids: tuple[Tensor, Tensor, Tensor]  # input, token type and position ids, [T] each
    cu_seqlens: Tensor  # [B + 1]
    longest: int  # tokens of the longest sample, or more; on the host, so that launches need not wait


class GpuBert:
    """A loaded model."""

    def __init__(self, weights: GpuWeights, kernels: GpuKernels, choices: Mapping[str, str]) -> None:
        self._weights, self._kernels = weights, kernels
        self._per_token = HEADS[weights.config.head].per_token
        self._products = [_tuned(layer, kernels, choices) for layer in weights.layers]
        config, device = weights.config, weights.layers[0].qkv.weight.device
        self._attention = hopper.chosen(kernels.attention, config.hidden_size, config.num_attention_heads, device)

    def rows(self, tokens: int, samples: int) -> int:
        """Rows of the logits of a batch."""
        return tokens if self._per_token else samples

    def __call__(self, batch: DeviceBatch, to: Tensor | None = None) -> Tensor:
        """The head's logits, float32 [T, 2] or [B, 2], in `to` if it is given."""
        stream, x = self._embed(batch)
        layers = self._weights.layers
        for number, layer in enumerate(layers):
            following = layers[number + 1].qkv.input_encoding if number + 1 < len(layers) else None
            x = self._layer(layer, self._products[number], following, x, stream, batch)
        return self._logits(stream, batch.cu_seqlens, to)

    def _logits(self, stream: Tensor, cu_seqlens: Tensor, to: Tensor | None) -> Tensor:
        """The head: its square layers, which have few rows and run in plain torch, then its last layer.

        A classifier reads the first token of each sample. An empty sample, which fills up a captured batch, may begin
        at the end of the tokens.
        """
        x = stream if self._per_token else stream[cu_seqlens[:-1].clamp(max=len(stream) - 1)].float()
        *dense, (weight, bias) = self._weights.head
        for layer in dense:
            x = torch.tanh(F.linear(x, *layer))
        answers = torch.empty(len(x), len(weight), device=x.device) if to is None else to
        self._kernels.head(x, weight, bias, answers)
        return answers

    def _embed(self, batch: DeviceBatch) -> tuple[Tensor, Tensor]:
        """The stream [T, H], and the input of the first product."""
        weights, encoding = self._weights, self._weights.layers[0].qkv.input_encoding
        shape = len(batch.ids[0]), weights.config.hidden_size
        stream = torch.empty(shape, dtype=weights.stream, device=batch.ids[0].device)
        x = self._empty_input(stream, encoding)
        self._kernels.embed(batch.ids, weights.tables, weights.embedding_norm, encoding, stream, x)
        return stream, stream if x is None else x

    def _layer(
        self,
        layer: GpuLayer,
        products: Mapping[str, TunedProduct],
        following: Encoding | None,
        x: Tensor,
        stream: Tensor,
        batch: DeviceBatch,
    ) -> Tensor:
        """One layer applied to x, the stream in the encoding of its first product; returns the next layer's x."""
        encoding = layer.attention_output.input_encoding
        context = torch.empty(stream.shape, dtype=encoding.dtype, device=stream.device)
        heads = self._weights.config.num_attention_heads
        self._attention(products["qkv"](x), batch.cu_seqlens, batch.longest, heads, encoding, context)
        projected = products["attention_output"](context)
        x = self._add_norm(projected, stream, layer.attention_norm, layer.ffn_inner.input_encoding)
        projected = products["ffn_output"](products["ffn_inner"](x))
        return self._add_norm(projected, stream, layer.ffn_norm, following)

    def _add_norm(self, projected: Tensor, stream: Tensor, norm: LayerNorm, reader: Encoding | None) -> Tensor:
        to = self._empty_input(stream, reader)
        self._kernels.add_norm(projected, stream, norm, reader, to)
        return stream if to is None else to

    def _empty_input(self, stream: Tensor, reader: Encoding | None) -> Tensor | None:
        """An uninitialized input for the next product; None if it reads the stream itself."""
        if reader is None or reader.dtype == stream.dtype:
            return None
        return torch.empty(stream.shape, dtype=reader.dtype, device=stream.device)


def _tuned(layer: GpuLayer, kernels: GpuKernels, choices: Mapping[str, str]) -> dict[str, TunedProduct]:
    return {name: TunedProduct(name, getattr(layer, name), kernels, choices) for name in LINEARS}
