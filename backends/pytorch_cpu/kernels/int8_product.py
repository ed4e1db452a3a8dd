"""The int8 matrix product in AMX tiles, AVX-512, AVX2 or ARM's vectors, in C++; and its twin in PyTorch.

Where it runs, it replaces oneDNN's: GELU and the rounding to the next product's bytes are where the sums are stored.
On x86 without VNNI, oneDNN's sums are wrong (`onednn.has_exact_int8`). Of weights with bounded groups, AVX2 has a
faster product.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from backends.pytorch_cpu.kernels import base, bounded, native, reference, residual_stream
from backends.pytorch_cpu.kernels.base import Activation, Encoding
from foundation import native_library

_OPERANDS = {  # outputs and inputs of the weight that one operand holds; the fastest first
    "amx": (16, 4),
    "avx512vnni": (16, 4),
    "avx2bounded": (16, 4),
    "avx2": (8, 2),
    "i8mm": (2, 8),
    "dotprod": (2, 8),
}
VARIANTS = bounded.others(_OPERANDS)
_X = (native.ActivationStruct, *[ctypes.c_int64] * 3)  # x, then rows, K and N
_IN_BLOCKS = Encoding(base.BYTES, in_blocks=True)
_FUNCTIONS = {
    "runs_here": native_library.Function((), ctypes.c_int32),
    "outputs_multiple": native_library.Function((), ctypes.c_int32),
    "inputs_multiple": native_library.Function((), ctypes.c_int32),
    "sut_int8_product": native_library.Function((*_X, *[ctypes.c_void_p] * 3, ctypes.c_int32, native.ActivationStruct)),
    "sut_int8_product_added": native_library.Function((*_X, *[ctypes.c_void_p] * 3, native.ActivationStruct)),
}


class Int8Weights(NamedTuple):
    """A weight for y = (x · weightᵀ) * scale + offset; `panels` is the weight as the product reads it.

    offset: the bias, minus what the zero point of x adds.
    """

    panels: Tensor  # int8, K * N elements
    scale: Tensor  # float32 [N]
    offset: Tensor  # float32 [N]


class Int8Product:
    """The product in one instruction set; `library` is what setup.py built of products.cpp."""

    def __init__(self, variant: str, library: ctypes.CDLL) -> None:
        self.variant, self.library = variant, library

    def fits(self, inputs: int, outputs: int) -> bool:
        """True if panels divide both sizes."""
        return not (inputs % self.library.inputs_multiple() or outputs % self.library.outputs_multiple())

    @property
    def of_bounded(self) -> Int8Product | None:
        """A faster one for weights with bounded groups alone, which takes the same inputs; None if there is none."""
        return bounded.find(self.variant, load)

    def laid_out(self, weight: Tensor) -> tuple[Int8Product, Tensor]:
        """The faster of these for int8 [N, K], and its panels."""
        faster = self.of_bounded
        product = faster if faster and bounded.takes(weight) else self
        return product, product._panels(weight)

    def panels(self, weight: Tensor) -> Tensor:
        """int8 [N, K] as the product reads it: [N / 32, K / 64, 2, 64 / k, 16 / n, n, k], operands of n × k.

        Raises:
            ValueError: this product takes bounded groups alone, and these are not.
        """
        bounded.check(self.variant, weight)
        return self._panels(weight)

    def _panels(self, weight: Tensor) -> Tensor:
        (outputs, inputs), (n, k) = weight.shape, _OPERANDS[self.variant]
        halves = weight.reshape(outputs // 32, 2, 16 // n, n, inputs // 64, 64 // k, k)
        return halves.permute(0, 4, 1, 5, 2, 3, 6).contiguous()

    def __call__(self, x: Tensor, weights: Int8Weights, gelu: bool, to: Activation) -> None:
        """`to` [T, N] = x · weightᵀ * scale + offset, then GELU (to 2e-4) if asked; x: bytes [T, K] in blocks."""
        self.library.sut_int8_product(*_operands(x, weights), gelu, native.activation_struct(to))

    def add(self, x: Tensor, weights: Int8Weights, stream: Tensor) -> None:
        """stream += x · weightᵀ * scale + offset; stream: [T, N] as `residual_stream` stores it."""
        to = native.activation_struct(Activation(stream, residual_stream.ENCODING))
        self.library.sut_int8_product_added(*_operands(x, weights), to)


def _operands(x: Tensor, weights: Int8Weights) -> tuple[object, ...]:
    """x, its sizes and the weight for C; valid as long as the tensors live."""
    blocks, tokens, line = x.shape
    sizes = tokens, blocks * line, len(weights.scale)
    return native.activation_struct(Activation(x, _IN_BLOCKS)), *sizes, *(tensor.data_ptr() for tensor in weights)


@functools.cache
def find() -> Int8Product | None:
    """The fastest variant that was built and runs on this machine; None if there is none."""
    return next(filter(None, map(load, VARIANTS)), None)


@functools.cache
def load(variant: str) -> Int8Product | None:
    """The product of one instruction set; None if it was not built, is broken, or does not run on this machine."""
    library = native_library.load(f"backends.pytorch_cpu.kernels._products_{variant}", _FUNCTIONS)
    return None if library is None else Int8Product(variant, library)


def plain(x: Tensor, weight: Tensor, scale: Tensor, offset: Tensor, gelu: bool, to: Activation) -> None:
    """The same in PyTorch, in float64; weight: int8 [N, K]."""
    y = (base.by_row(x).flatten(1).double() @ weight.double().T) * scale.double() + offset.double()
    reference.store(F.gelu(y) if gelu else y, to)
