"""Stores a kernel's result as a float or as quantized bytes, in Triton and in PyTorch.

Triton has no rounding function that its interpreter supports too. Adding 1.5 * 2**23 to a float32 leaves no bits for a
fraction, so the processor rounds it, ties to even; subtracting it again gives the integer.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels.interpreted import representable
from backends.pytorch_cpu.kernels import Encoding

FP8_MAX = 448.0  # the largest value of e4m3, which has no infinity
_LIMITS: dict[torch.dtype, tuple[float, float]] = {
    torch.int8: (-128.0, 127.0),
    torch.float8_e4m3fn: (-FP8_MAX, FP8_MAX),
}


@triton.jit
def rounded(y, multiplier, zero_point, dtype: tl.constexpr):
    """`y`, float32, converted to `dtype`; `multiplier` broadcasts to y, or is None."""
    if multiplier is not None:
        y = y * multiplier + zero_point
    if dtype == tl.int8:
        y = tl.minimum(tl.maximum(y, -128.0), 127.0)
        y = (y + 12582912.0) - 12582912.0
    if dtype == tl.float8e4nv:
        y = representable(tl.minimum(tl.maximum(y, -448.0), 448.0))
    return y.to(dtype)


@triton.jit
def gelu(y):
    """Exact GELU, through erf."""
    return 0.5 * y * (1.0 + tl.erf(y * 0.7071067811865476))


def store(y: Tensor, encoding: Encoding, to: Tensor) -> None:
    """The PyTorch twin of `rounded`: write `y`, float32 [..., N], into `to`."""
    if encoding.multiplier is None:
        to.copy_(y)
        return
    y = (y * encoding.multiplier + encoding.zero_point).clamp(*_LIMITS[encoding.dtype])
    to.copy_(y.round() if encoding.dtype == torch.int8 else y)
