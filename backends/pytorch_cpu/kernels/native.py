"""The kernels in C++, one library per instruction set; the first of VARIANTS that runs on this machine is used.

They are loaded after torch and share its OpenMP runtime: two thread pools would compete for the same cores.
"""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import base, reference
from backends.pytorch_cpu.kernels.base import LINE_BYTES, Activation, EmbeddingTables, Encoding, Ids, LayerNorm
from foundation import native_library
from foundation.native_library import Function

VARIANTS = (  # fastest first
    "amx",
    "avx512bf16",
    "avx512vnni",
    "avx512",
    "avx2",
    "portable",
)
_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.uint8: 2, torch.int8: 3}


class ActivationStruct(ctypes.Structure):
    """`Activation` of activation.h."""

    _fields_ = (
        ("type", ctypes.c_int32),
        ("zero_point", ctypes.c_int32),
        ("data", ctypes.c_void_p),
        ("multiplier", ctypes.c_void_p),
        ("row_stride", ctypes.c_int64),
        ("block_stride", ctypes.c_int64),
    )


_POINTER, _INT, _TYPE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_float
_NORM = (_POINTER, _POINTER, _FLOAT, _INT, _INT, _POINTER, ActivationStruct)  # weight, bias, epsilon, T, H, stream, to
FUNCTIONS = {
    "runs_here": Function((), ctypes.c_int32),
    "width_multiple": Function((), ctypes.c_int32),
    "head_multiple": Function((), ctypes.c_int32),
    "sut_embed": Function((*[_POINTER] * 6, *_NORM)),
    "sut_add_norm": Function((ActivationStruct, *_NORM)),
    "sut_gelu": Function((_POINTER, _TYPE, _INT, _INT, ActivationStruct)),
    "sut_attention": Function((ActivationStruct, _POINTER, _INT, _INT, _INT, ActivationStruct)),
}


class NativeKernels:
    """`base.CpuKernels` in C++; `name` is the variant."""

    def __init__(self, name: str, library: ctypes.CDLL) -> None:
        self.name, self.library = name, library

    def embed(self, ids: Ids, tables: EmbeddingTables, norm: LayerNorm, to: Activation | None) -> Tensor:
        stream = torch.empty(len(ids[0]), norm.weight.numel())
        pointers = [tensor.data_ptr() for tensor in (*ids, *tables)]
        self.library.sut_embed(*pointers, *_norm(norm, stream, to))
        return stream

    def add_norm(self, projected: Tensor, stream: Tensor, norm: LayerNorm, to: Activation | None) -> None:
        added = activation_struct(Activation(projected, Encoding(projected.dtype)))
        self.library.sut_add_norm(added, *_norm(norm, stream, to))

    def gelu(self, x: Tensor, to: Activation) -> None:
        if x.shape[1] % self.library.width_multiple():
            reference.ReferenceKernels().gelu(x, to)
            return
        self.library.sut_gelu(x.data_ptr(), _TYPES[x.dtype], *x.shape, activation_struct(to))

    def attention(self, qkv: Tensor, cu_seqlens: Tensor, heads: int, to: Activation) -> None:
        read = activation_struct(Activation(qkv, Encoding(qkv.dtype)))
        sizes = len(cu_seqlens) - 1, heads, base.by_row(qkv).shape[1:].numel() // (3 * heads)
        self.library.sut_attention(read, cu_seqlens.data_ptr(), *sizes, activation_struct(to))


def _norm(norm: LayerNorm, stream: Tensor, to: Activation | None) -> tuple[object, ...]:
    return (
        norm.weight.data_ptr(),
        norm.bias.data_ptr(),
        norm.epsilon,
        *stream.shape,
        stream.data_ptr(),
        activation_struct(to),
    )


def activation_struct(to: Activation | None) -> ActivationStruct:
    """The same for C; valid as long as the tensors of `to` live."""
    if to is None:
        return ActivationStruct()
    values, (dtype, multiplier, zero_point, *_) = to
    factors = None if multiplier is None else multiplier.data_ptr()
    if dtype == torch.int8:
        zero_point += 128
    row_stride = 0 if values.dim() == 4 else values.shape[-1]  # 0: in panels
    block_stride = values.stride(0) if values.dim() == 3 else LINE_BYTES // dtype.itemsize
    return ActivationStruct(_TYPES[dtype], zero_point, values.data_ptr(), factors, row_stride, block_stride)


def find(hidden_size: int, head_size: int) -> NativeKernels | None:
    """The first variant that was built, runs on this machine and supports these sizes; None if there is none."""
    for variant in VARIANTS:
        library = load(variant)
        if library and fits(library, hidden_size, head_size):
            return NativeKernels(variant, library)
    return None


def fits(library: ctypes.CDLL, hidden_size: int, head_size: int) -> bool:
    """True if both sizes are multiples of what the library's vectors need."""
    return not (hidden_size % library.width_multiple() or head_size % library.head_multiple())


@functools.cache
def load(variant: str) -> ctypes.CDLL | None:
    """The library of one instruction set; None if it was not built, is broken, or needs an instruction that this
    machine lacks."""
    return native_library.load(f"backends.pytorch_cpu.kernels._{variant}", FUNCTIONS)
