"""The kernels in PyTorch: tests compare the native ones with these, and they run where those were not built."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.pytorch_cpu.kernels.base import Activation, EmbeddingTables, Ids, LayerNorm, by_row


class ReferenceKernels:
    """`base.CpuKernels` in PyTorch operators."""

    name = "plain"

    def embed(self, ids: Ids, tables: EmbeddingTables, norm: LayerNorm, to: Activation | None) -> Tensor:
        words, types, positions = (table[rows] for table, rows in zip(tables, ids, strict=True))
        stream = _norm(words + types + positions, norm)
        store(stream, to)
        return stream

    def add_norm(self, projected: Tensor, stream: Tensor, norm: LayerNorm, to: Activation | None) -> None:
        added = by_row(projected)[: len(stream)]
        stream.copy_(_norm(stream + added.reshape(stream.shape), norm))
        store(stream, to)

    def gelu(self, x: Tensor, to: Activation) -> None:
        store(F.gelu(x.float()), to)

    def attention(self, qkv: Tensor, cu_seqlens: Tensor, heads: int, to: Activation) -> None:
        samples = torch.split(by_row(qkv)[: cu_seqlens[-1]].flatten(1), cu_seqlens.diff().tolist())
        contexts = [_attend(sample, heads) for sample in samples]
        store(torch.cat(contexts).float(), to)


def _norm(x: Tensor, norm: LayerNorm) -> Tensor:
    return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.epsilon)


def _attend(qkv: Tensor, heads: int) -> Tensor:
    """One sample: [L, 3 H] -> [L, H]."""
    query, key, value = qkv.view(len(qkv), 3, heads, -1).permute(1, 2, 0, 3)  # each [heads, L, head]
    return F.scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1)


def store(x: Tensor, to: Activation | None) -> None:
    """Write x [T, N] into `to` in its encoding; nothing if it is None."""
    if to is None:
        return
    values, encoding = to
    if encoding.multiplier is not None:
        limits = torch.iinfo(encoding.dtype)
        x = (x * encoding.multiplier + encoding.zero_point).round_().clamp_(limits.min, limits.max)
    rows = by_row(values)[: len(x)]
    rows.copy_(x.reshape(rows.shape))
