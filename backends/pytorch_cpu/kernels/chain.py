"""Chains of small int8 products, in C++ for x86 from AVX2 on: what one writes stays in the cache for the next.

`packed_mobilebert.py` computes the same with PyTorch's operators; tests hold both to the reference in numpy.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from backends.pytorch_cpu.kernels import bounded, native
from backends.pytorch_cpu.kernels.base import Activation
from foundation import native_library

_TILES = {  # of a panel: how many at a time, outputs, inputs, and how many inputs lie end to end; the fastest first
    "amx": (2, 16, 64, 4),
    "avx512vnni": (1, 64, 4, 4),
    "avx2bounded": (1, 16, 4, 4),
    "avx2": (1, 16, 2, 2),
}
VARIANTS = bounded.others(_TILES)
RELU, NARROW, STREAM, WIDE = range(4)  # StepKind of chain.h
_HEAD_MULTIPLE = 32  # of attention's operands
_INPUTS_MULTIPLE, _OUTPUTS_MULTIPLE = 64, 64


class Step(NamedTuple):
    """One product, y = (x · weightᵀ) * scale + offset, and what becomes of y: one of the kinds above."""

    kind: int
    weight: Tensor  # int8 [N, K]
    scale: Tensor  # float32 [N], all factors that do not depend on the token
    offset: Tensor  # float32 [N]
    residual: Tensor | None = None  # float32 [N], factor of what y is added to
    multiplier: Tensor | None = None  # float32 [N], of the next product's bytes; RELU's is in scale
    zero_point: int = 0  # of the bytes


class _StepStruct(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "scale", "offset", "residual", "multiplier")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
        *((name, ctypes.c_int32) for name in ("kind", "zero_point")),
    )


class _TokensStruct(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("bytes", "stream", "wide")),
        *((name, ctypes.c_int64) for name in ("tokens", "stream_width", "wide_width", "narrow_width")),
    )


_POINTER, _INT = ctypes.c_void_p, ctypes.c_int64
_FUNCTIONS = {
    "runs_here": native_library.Function((), ctypes.c_int32),
    "rows_multiple": native_library.Function((), ctypes.c_int32),
    "sut_chain": native_library.Function((_POINTER, _INT, _TokensStruct)),
    "sut_encode": native_library.Function((_POINTER, _INT, _INT, native.ActivationStruct)),
    "sut_wide_attention": native_library.Function(
        (_POINTER, _INT, _POINTER, _INT, _INT, _INT, native.ActivationStruct)
    ),
}


class Chain:
    """Steps as the library reads them; it keeps their tensors alive."""

    def __init__(self, kernels: ChainKernels, steps: Sequence[Step]) -> None:
        kernels, panels = kernels.laid_out([one.weight for one in steps])
        self._library = kernels.library
        self._tensors = [(weight, *one[2:6]) for weight, one in zip(panels, steps, strict=True)]
        self._steps = (_StepStruct * len(steps))()
        for struct, step, tensors in zip(self._steps, steps, self._tensors, strict=True):
            pointers = (None if tensor is None else tensor.data_ptr() for tensor in tensors)
            outputs, inputs = step.weight.shape
            struct.__init__(*pointers, inputs, outputs, step.kind, step.zero_point)

    def __call__(self, x: Tensor, stream: Tensor, wide: Tensor, narrow_width: int) -> None:
        """Run the chain on x, the bytes of the first product, [T, K]; T is a multiple of `rows_multiple`.

        Args:
            stream: float32 [T, H]; STREAM adds to it, in place.
            wide: bfloat16 [T, W]; WIDE writes it. Its last `narrow_width` columns are what NARROW adds to at first.
        """
        sizes = len(x), stream.shape[1], wide.shape[1], narrow_width
        tokens = _TokensStruct(x.data_ptr(), stream.data_ptr(), wide.data_ptr(), *sizes)
        self._library.sut_chain(self._steps, len(self._steps), tokens)


class ChainKernels:
    """The library of one instruction set."""

    def __init__(self, name: str, library: ctypes.CDLL) -> None:
        self.name, self.library = name, library
        self.rows_multiple: int = library.rows_multiple()

    def fits(self, inputs: int, outputs: int) -> bool:
        """True if both sizes of a product are multiples of what its panels need."""
        return not (inputs % _INPUTS_MULTIPLE or outputs % _OUTPUTS_MULTIPLE)

    def fits_head(self, size: int) -> bool:
        """True if attention takes heads of this size."""
        return not size % _HEAD_MULTIPLE

    def laid_out(self, weights: Sequence[Tensor]) -> tuple[ChainKernels, list[Tensor]]:
        """These kernels, or faster ones if all weights, int8 [N, K], have bounded groups; and the weights' panels."""
        faster = bounded.find(self.name, load)
        kernels = faster if faster and bounded.takes(*weights) else self
        return kernels, [kernels._panels(weight) for weight in weights]

    def _panels(self, weight: Tensor) -> Tensor:
        """int8 [N, K] as `multiply_unit` reads it: [N / (t n), K / d, t, d / k, n, k], n outputs × d inputs a tile."""
        (outputs, inputs), (t, n, d, k) = weight.shape, _TILES[self.name]
        tiles = weight.reshape(outputs // (t * n), t, n, inputs // d, d // k, k)
        return tiles.permute(0, 3, 1, 4, 2, 5).contiguous()

    def encode(self, x: Tensor, to: Activation) -> None:
        """`to` [T, N] = x, float32 [T, N]."""
        self.library.sut_encode(x.data_ptr(), *x.shape, native.activation_struct(to))

    def attention(self, wide: Tensor, cu_seqlens: Tensor, heads: int, size: int, to: Activation) -> None:
        """As `CpuKernels.attention`, of the first columns of `wide`, bfloat16 [T, W]."""
        sizes = len(cu_seqlens) - 1, heads, size
        self.library.sut_wide_attention(
            wide.data_ptr(), wide.shape[1], cu_seqlens.data_ptr(), *sizes, native.activation_struct(to)
        )


def find() -> ChainKernels | None:
    """The first variant that was built and runs on this machine; None if there is none."""
    return next((found for variant in VARIANTS if (found := load(variant))), None)


@functools.cache
def load(variant: str) -> ChainKernels | None:
    """The library of one instruction set; None if it was not built, is broken, or does not run on this machine."""
    module = f"backends.pytorch_cpu.kernels._mobilebert_{variant}"
    library = native_library.load(module, _FUNCTIONS)
    return None if library is None else ChainKernels(variant, library)
