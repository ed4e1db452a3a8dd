"""The int8 matrix product in AMX tiles, in C++; and its twin in PyTorch, which tests hold it to.

Where it runs, it replaces oneDNN's: GELU and the rounding to the next product's bytes are stored while the tiles
multiply, so they cost next to nothing.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from backends.pytorch_cpu.kernels import base, native, reference
from backends.pytorch_cpu.kernels.base import Activation
from foundation import native_library

_X = (ctypes.c_void_p, *[ctypes.c_int64] * 3)  # its data, then rows, K and N
_FUNCTIONS = {
    "runs_here": native_library.Function((), ctypes.c_int32),
    "outputs_multiple": native_library.Function((), ctypes.c_int32),
    "inputs_multiple": native_library.Function((), ctypes.c_int32),
    "sut_int8_product": native_library.Function((*_X, *[ctypes.c_void_p] * 3, ctypes.c_int32, native.ActivationStruct)),
}


class Int8Weights(NamedTuple):
    """A weight for y = (x · weightᵀ) * scale + offset; `panels` is the weight as the product reads it.

    offset: the bias, minus what the zero point of x adds.
    """

    panels: Tensor  # int8, K * N elements
    scale: Tensor  # float32 [N]
    offset: Tensor  # float32 [N]


class TileProduct:
    """The product in AMX tiles; `library` is what setup.py built of products.cpp."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def fits(self, inputs: int, outputs: int) -> bool:
        """True if tiles divide both sizes."""
        return not (inputs % self.library.inputs_multiple() or outputs % self.library.outputs_multiple())

    def panels(self, weight: Tensor) -> Tensor:
        """int8 [N, K] as the product reads it: [N / 32, K / 64, 2, 16, 16, 4]."""
        outputs, inputs = weight.shape
        return weight.reshape(outputs // 32, 2, 16, inputs // 64, 16, 4).permute(0, 3, 1, 4, 2, 5).contiguous()

    def __call__(self, x: Tensor, weights: Int8Weights, gelu: bool, to: Activation) -> None:
        """`to` [rows, N] = x · weightᵀ * scale + offset, then GELU (to 2e-4) if asked; x: uint8 in blocks."""
        pointers = [tensor.data_ptr() for tensor in weights]
        blocks, rows, line = x.shape
        sizes = rows, blocks * line, len(weights.scale)
        self.library.sut_int8_product(x.data_ptr(), *sizes, *pointers, gelu, native.activation_struct(to))


@functools.cache
def find() -> TileProduct | None:
    """The product, if it was built and runs on this machine."""
    library = native_library.load("backends.pytorch_cpu.kernels._products_amx", _FUNCTIONS)
    return None if library is None else TileProduct(library)


def plain(x: Tensor, weight: Tensor, scale: Tensor, offset: Tensor, gelu: bool, to: Activation) -> None:
    """The same in PyTorch, in float64; weight: int8 [N, K]."""
    y = (base.by_row(x).flatten(1).double() @ weight.double().T) * scale.double() + offset.double()
    reference.store(F.gelu(y) if gelu else y, to)
