"""The residual stream that int8 products add to, in C++; and its twin in PyTorch, which tests hold it to.

It lies in blocks of channels, in bfloat16: where a product stores its sums it adds them to the stream
(`Int8Product.add`), so a norm reads and writes one array, half as large as float32's.
"""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import base, native, reference
from backends.pytorch_cpu.kernels.base import Activation, EmbeddingTables, Encoding, Ids, LayerNorm
from foundation import native_library

VARIANTS = ("amx", "avx512vnni")  # of our product
ENCODING = Encoding(torch.bfloat16, in_blocks=True)
_SIZES = (ctypes.c_int64, ctypes.c_int64)  # T, H
_FUNCTIONS = {
    "runs_here": native_library.Function((), ctypes.c_int32),
    "sut_sum_embeddings": native_library.Function((*[ctypes.c_void_p] * 6, *_SIZES, native.ActivationStruct)),
    "sut_norm_stream": native_library.Function(
        (native.ActivationStruct, *_SIZES, *[ctypes.c_void_p] * 2, ctypes.c_float, native.ActivationStruct)
    ),
}


class ResidualStream:
    """`base.CpuKernels.embed`, and the norm after a product; both for widths that are a multiple of 64."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def embed(self, ids: Ids, tables: EmbeddingTables, norm: LayerNorm, to: Activation) -> Tensor:
        """LayerNorm of the summed embeddings, bfloat16 [T, H] in blocks; `to` receives the same."""
        sizes = len(ids[0]), len(norm.weight)
        stream = ENCODING.empty(*sizes)
        pointers = (tensor.data_ptr() for tensor in (*ids, *tables))
        self._library.sut_sum_embeddings(*pointers, *sizes, native.activation_struct(stream))
        self.norm(stream.values, norm, to)
        return stream.values

    def norm(self, stream: Tensor, norm: LayerNorm, to: Activation) -> None:
        """stream = LayerNorm(stream), in place; `to` receives the same, not rounded to bfloat16: bytes or float32."""
        parameters = stream.shape[1], len(norm.weight), norm.weight.data_ptr(), norm.bias.data_ptr(), norm.epsilon
        written = native.activation_struct(Activation(stream, ENCODING))
        self._library.sut_norm_stream(written, *parameters, native.activation_struct(to))


@functools.cache
def load(variant: str) -> ResidualStream | None:
    """That of our product's library; None if it has none, was not built, is broken, or does not run on this machine."""
    if variant not in VARIANTS:
        return None
    library = native_library.load(f"backends.pytorch_cpu.kernels._products_{variant}", _FUNCTIONS)
    return None if library is None else ResidualStream(library)


def plain_norm(stream: Tensor, norm: LayerNorm, to: Activation) -> None:
    """`ResidualStream.norm` in PyTorch, in float64."""
    x = base.by_row(stream).flatten(1).double()
    parameters = norm.weight.double(), norm.bias.double(), norm.epsilon
    found = torch.nn.functional.layer_norm(x, norm.weight.shape, *parameters)
    reference.store(found, Activation(stream, ENCODING))
    reference.store(found, to)
