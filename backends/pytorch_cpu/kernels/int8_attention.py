"""Attention on int8 queries, keys and values, in AMX tiles, AVX-512 VNNI or on ARM, in C++; and its twin in PyTorch.

The product before it writes the bytes, with half of bfloat16's traffic. Weights of the softmax have 16 bits, and are
divided by the sum of these integers, so that rounding them keeps their sum. The twin does not round them.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import native, reference
from backends.pytorch_cpu.kernels.base import BYTE_SHIFT, BYTES, LINE_BYTES, Activation, Encoding, by_row
from foundation import native_library
from foundation.native_library import Function

HEAD_SIZES = (16, 32, 64)  # channels of one head, or of several, are a cache line
VARIANTS = ("amx", "avx512vnni", "i8mm", "dotprod")
_LOG2_E = 1 / math.log(2)
_ZERO_POINT = 128 - BYTE_SHIFT
_FUNCTIONS = {
    "runs_here": Function((), ctypes.c_int32),
    "sut_int8_attention": Function(
        (native.ActivationStruct, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 3, native.ActivationStruct)
    ),
}


class QkvScales(NamedTuple):
    """x = bytes * scale + shift for each channel of queries, keys and values, float32 [3 H] each.

    Over a head, a query's scale times a key's is one number, and the queries' shift is 0. Keys need no shift back: what
    all keys share changes no softmax.
    """

    scale: Tensor
    shift: Tensor


class Int8Attention:
    """The attention of one layer, called as `CpuKernels.attention`; `encoding`: how it reads queries, keys and values.

    The channels' shift is not in the encoding: it is in the bias of the product that writes them.
    """

    def __init__(self, library: ctypes.CDLL, scales: QkvScales, heads: int, to: Encoding, in_blocks: bool) -> None:
        self._library, self._heads, self.scales = library, heads, scales
        self.encoding = Encoding(BYTES, 1 / scales.scale, _ZERO_POINT, in_blocks)
        query, key, value = scales.scale.view(3, heads, -1)
        self._head_size = value.shape[1]
        assert to.multiplier is not None
        shift = scales.shift[-value.numel() :] * to.multiplier + (to.zero_point + BYTE_SHIFT)
        self._factors = (
            query[:, 0] * key[:, 0] * (_LOG2_E / self._head_size**0.5),
            value.flatten() * to.multiplier,
            shift,
        )

    def __call__(self, qkv: Tensor, cu_seqlens: Tensor, to: Activation) -> None:
        x = native.activation_struct(Activation(qkv, self.encoding))
        pointers = [tensor.data_ptr() for tensor in (*self._factors, cu_seqlens)]
        sizes = len(cu_seqlens) - 1, self._heads, self._head_size
        self._library.sut_int8_attention(x, *pointers, *sizes, native.activation_struct(to))


def find(scales: QkvScales, heads: int, to: Encoding, variant: str) -> Int8Attention | None:
    """The attention of these `VARIANTS`, if it runs on this machine, has heads of this size, and can write `to`.

    Tiles read queries, keys and values in blocks of channels, vectors by row.
    """
    width = len(scales.scale) // 3
    if width // heads not in HEAD_SIZES or width % LINE_BYTES or to.dtype != BYTES:
        return None
    library = load(variant)
    return None if library is None else Int8Attention(library, scales, heads, to, in_blocks=variant == "amx")


@functools.cache
def load(variant: str) -> ctypes.CDLL | None:
    """The library of one instruction set, if it was built and runs on this machine."""
    return native_library.load(f"backends.pytorch_cpu.kernels._int8_attention_{variant}", _FUNCTIONS)


def plain(qkv: Tensor, scales: QkvScales, cu_seqlens: Tensor, heads: int, to: Activation) -> None:
    """The same in PyTorch, in float64."""
    steps = by_row(qkv).flatten(1)[: cu_seqlens[-1]].double() - _ZERO_POINT
    rows = steps * scales.scale + scales.shift
    contexts = [_attend(sample, heads) for sample in torch.split(rows, cu_seqlens.diff().tolist())]
    reference.store(torch.cat(contexts), to)


def _attend(qkv: Tensor, heads: int) -> Tensor:
    """One sample: [L, 3 H] -> [L, H]."""
    query, key, value = qkv.view(len(qkv), 3, heads, -1).permute(1, 2, 0, 3)  # each [heads, L, head]
    scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
    context: Tensor = scores.softmax(2) @ value
    return context.transpose(0, 1).flatten(1)
