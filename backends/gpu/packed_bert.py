"""BERT over packed tokens on any device: four products and three kernels per layer, nothing else passes over memory.

The kernels are parameters, Triton's or their twins, so tests run this code on the CPU against the reference. Nothing
here waits for the device, so that a whole batch is enqueued at once, or captured as a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.bert.config import LINEARS
from backends.bert.heads import HEADS
from backends.gpu.gemm_tuning import TunedProduct, bucket_key, start_early
from backends.gpu.hopper import attention as hopper
from backends.gpu.kernels import GpuKernels, dependent
from backends.gpu.kernels.residual import Residual
from backends.gpu.residual_norm import embedded, normalized
from backends.gpu.weights import GpuLayer, GpuWeights
from backends.pytorch_cpu.kernels import Encoding

ATTENTION = "attention"  # its choice next to those of products: a form of kernels/attention.py, in short passes only


@dataclass(frozen=True)
class DeviceBatch:
    """A batch on the device: B samples end to end, T tokens; int32 or int64."""

    ids: tuple[Tensor, Tensor, Tensor]  # input, token type and position ids, [T] each
    cu_seqlens: Tensor  # [B + 1]
    longest: int  # tokens of the longest sample, or more; on the host, so that launches need not wait


class GpuBert:
    """A loaded model."""

    def __init__(self, weights: GpuWeights, kernels: GpuKernels, choices: Mapping[str, str]) -> None:
        self._weights, self._kernels, self._choices = weights, kernels, choices
        self._per_token = HEADS[weights.config.head].per_token
        self._products = [_tuned(layer, kernels, choices) for layer in weights.layers]
        config, device = weights.config, weights.layers[0].qkv.weight.device
        self._attention = hopper.chosen(kernels.attention, config.hidden_size, config.num_attention_heads, device)

    def rows(self, tokens: int, samples: int) -> int:
        """Rows of the logits of a batch."""
        return tokens if self._per_token else samples

    def starts_early(self, tokens: int) -> bool:
        """True if a pass over `tokens` tokens is the fastest with dependent launches (kernels/dependent.py)."""
        return start_early(self._choices, tokens)

    def __call__(self, batch: DeviceBatch, to: Tensor | None = None) -> Tensor:
        """The head's logits, float32 [T, 2] or [B, 2], in `to` if it is given."""
        weights, layers = self._weights, self._weights.layers
        encodings = [*(layer.qkv.input_encoding for layer in layers), Encoding(weights.stream)]
        x, residual = embedded(
            self._kernels, batch.ids, weights.tables, weights.embedding_norm, encodings[0], weights.stream
        )
        for layer, products, following in zip(layers, self._products, encodings[1:], strict=True):
            x, residual = self._layer(layer, products, following, x, residual, batch)
        return self._logits(x, batch.cu_seqlens, to)

    def _early_attention(self, tokens: int) -> hopper.Attention:
        """Triton's in the chosen form; Hopper's does not start early."""
        form = self._choices.get(bucket_key(ATTENTION, tokens))
        return partial(self._kernels.attention, form=form) if form else self._kernels.attention

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

    def _layer(
        self,
        layer: GpuLayer,
        products: Mapping[str, TunedProduct],
        following: Encoding,
        x: Tensor,
        residual: Residual,
        batch: DeviceBatch,
    ) -> tuple[Tensor, Residual]:
        """One layer applied to x, which is in the encoding of its first product; the next layer's x and residual."""
        encoding = layer.attention_output.input_encoding
        context = torch.empty(x.shape, dtype=encoding.dtype, device=x.device)
        heads = self._weights.config.num_attention_heads
        attention = self._early_attention(len(x)) if dependent.is_on() else self._attention
        attention(products["qkv"](x), batch.cu_seqlens, batch.longest, heads, encoding, context)
        sums, left = products["attention_output"].plus(context, residual)
        x, residual = normalized(self._kernels, sums, left, layer.attention_norm, layer.ffn_inner.input_encoding)
        sums, left = products["ffn_output"].plus(products["ffn_inner"](x), residual)
        return normalized(self._kernels, sums, left, layer.ffn_norm, following)


def _tuned(layer: GpuLayer, kernels: GpuKernels, choices: Mapping[str, str]) -> dict[str, TunedProduct]:
    return {name: TunedProduct(name, getattr(layer, name), kernels, choices) for name in LINEARS}
