"""Attention on int8 queries, keys and values in AMX tiles, in C++; and its twin in PyTorch, which tests hold it to.

The product before it writes the bytes, with half of bfloat16's traffic. Weights of the softmax are 0 to 255, 255 for a
query's highest score, and are divided by the sum of these integers, so that rounding them keeps their sum.
"""

from __future__ import annotations

import ctypes
import math
from typing import NamedTuple

import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import int8_product, native, reference
from backends.pytorch_cpu.kernels.base import Activation, Encoding, by_row

HEAD_SIZES = (16, 32, 64)  # a tile's rows have 64 bytes: channels of one head, or of several
_LOG2_E = 1 / math.log(2)


class QkvScales(NamedTuple):
    """x = bytes * scale + shift for each channel of queries, keys and values, float32 [3 H] each.

    Over a head, a query's scale times a key's is one number, and the queries' shift is 0. Keys need no shift back: what
    all keys share changes no softmax.
    """

    scale: Tensor
    shift: Tensor

    @property
    def encoding(self) -> Encoding:
        """Of the bytes; the shift is in the bias of the product that writes them."""
        return Encoding(torch.int8, 1 / self.scale, 0, in_blocks=True)


class TileAttention:
    """The attention of one layer by the library `products.cpp`; called as `CpuKernels.attention`."""

    def __init__(self, library: ctypes.CDLL, scales: QkvScales, heads: int, to: Encoding) -> None:
        self._library, self._heads, self.scales = library, heads, scales
        query, key, value = scales.scale.view(3, heads, -1)
        self._head_size = value.shape[1]
        assert to.multiplier is not None
        shift = scales.shift[-value.numel() :] * to.multiplier + to.zero_point
        self._factors = (
            query[:, 0] * key[:, 0] * (_LOG2_E / self._head_size**0.5),
            value.flatten() * to.multiplier,
            shift,
        )

    def __call__(self, qkv: Tensor, cu_seqlens: Tensor, to: Activation) -> None:
        pointers = [factor.data_ptr() for factor in self._factors]
        sizes = len(cu_seqlens) - 1, self._heads, self._head_size
        self._library.sut_int8_attention(
            qkv.data_ptr(), qkv.shape[1], *pointers, cu_seqlens.data_ptr(), *sizes, native.activation_struct(to)
        )


def find(scales: QkvScales, heads: int, to: Encoding) -> TileAttention | None:
    """The attention in tiles, if it runs on this machine, has heads of this size, and can write this encoding."""
    product, width = int8_product.find(), len(scales.scale) // 3
    if product is None or width // heads not in HEAD_SIZES or width % 64 or to.dtype != torch.uint8:
        return None
    return TileAttention(product.library, scales, heads, to)


def plain(qkv: Tensor, scales: QkvScales, cu_seqlens: Tensor, heads: int, to: Activation) -> None:
    """The same in PyTorch, in float64."""
    rows = by_row(qkv).flatten(1)[: cu_seqlens[-1]] * scales.scale.double() + scales.shift
    contexts = [_attend(sample, heads) for sample in torch.split(rows, cu_seqlens.diff().tolist())]
    reference.store(torch.cat(contexts), to)


def _attend(qkv: Tensor, heads: int) -> Tensor:
    """One sample: [L, 3 H] -> [L, H]."""
    query, key, value = qkv.view(len(qkv), 3, heads, -1).permute(1, 2, 0, 3)  # each [heads, L, head]
    scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
    weights = (255 * torch.exp(scores - scores.amax(2, keepdim=True))).round()
    context: Tensor = weights / weights.sum(2, keepdim=True) @ value
    return context.transpose(0, 1).flatten(1)
