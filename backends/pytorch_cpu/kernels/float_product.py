"""The float32 matrix product in AVX-512 or AVX2 vectors, in C++; and its twin in PyTorch, which tests hold it to.

Where it runs, it replaces oneDNN's: it reads and writes activations in blocks of channels, and GELU is where the sums
are stored.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.pytorch_cpu.kernels import base, native, reference
from backends.pytorch_cpu.kernels.base import Activation, Encoding
from foundation import native_library

VARIANTS = ("avx512", "avx2")  # fastest first
IN_BLOCKS = Encoding(torch.float32, in_blocks=True)  # how x is stored
_X = (native.ActivationStruct, *[ctypes.c_int64] * 3)  # x, then rows, K and N
_FUNCTIONS = {
    "runs_here": native_library.Function((), ctypes.c_int32),
    "outputs_multiple": native_library.Function((), ctypes.c_int32),
    "inputs_multiple": native_library.Function((), ctypes.c_int32),
    "sut_float_product": native_library.Function(
        (*_X, *[ctypes.c_void_p] * 2, ctypes.c_int32, native.ActivationStruct)
    ),
}


class FloatWeights(NamedTuple):
    """A weight for y = x · weightᵀ + bias; `panels` is the weight as the product reads it."""

    panels: Tensor  # float32, K * N elements
    bias: Tensor  # float32 [N]


class FloatProduct:
    """The product in one instruction set; `library` is what setup.py built of float_products.cpp."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def fits(self, inputs: int, outputs: int) -> bool:
        """True if panels divide both sizes, and neither is 0."""
        return bool(inputs and outputs) and not (
            inputs % self.library.inputs_multiple() or outputs % self.library.outputs_multiple()
        )

    def panels(self, weight: Tensor) -> Tensor:
        """float32 [N, K] as the product reads it: [N / p, K / 16, p / 16, 16 inputs, 16 outputs]; panels of p."""
        outputs, inputs = weight.shape
        line, panel = self.library.inputs_multiple(), self.library.outputs_multiple()
        shape = outputs // panel, panel // line, line, inputs // line, line
        return weight.reshape(shape).permute(0, 3, 1, 4, 2).contiguous()

    def __call__(self, x: Tensor, weights: FloatWeights, gelu: bool, to: Activation) -> None:
        """`to` [T, N] = x · weightᵀ + bias, then GELU if asked; x: float32 [T, K] in blocks, `to` in blocks or not."""
        pointers = [tensor.data_ptr() for tensor in weights]
        blocks, tokens, line = x.shape
        sizes = tokens, blocks * line, len(weights.bias)
        floats_in = native.activation_struct(Activation(x, IN_BLOCKS))
        self.library.sut_float_product(floats_in, *sizes, *pointers, gelu, native.activation_struct(to))


@functools.cache
def find() -> FloatProduct | None:
    """The fastest variant that was built and runs on this machine; None if there is none."""
    return next(filter(None, map(load, VARIANTS)), None)


@functools.cache
def load(variant: str) -> FloatProduct | None:
    """The product of one instruction set; None if it was not built, is broken, or does not run on this machine."""
    library = native_library.load(f"backends.pytorch_cpu.kernels._float_product_{variant}", _FUNCTIONS)
    return None if library is None else FloatProduct(library)


def plain(x: Tensor, weight: Tensor, bias: Tensor, gelu: bool, to: Activation) -> None:
    """The same in PyTorch, in float64; weight: float32 [N, K]."""
    y = base.by_row(x).flatten(1).double() @ weight.double().T + bias.double()
    reference.store(F.gelu(y) if gelu else y, to)
