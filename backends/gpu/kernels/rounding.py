"""How a result leaves a kernel: as a float, or as quantized bytes; in Triton and in PyTorch.

Triton has no rounding instruction of its own that its interpreter knows too. Adding 1.5 * 2**23 leaves no room for a
fraction in float32, so the processor itself rounds it away, ties to even; subtracting it again gives the whole number.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels.interpreted import representable
from backends.pytorch_cpu.kernels import Encoding

FP8_MOST = 448.0  # of e4m3: beyond it there is only NaN
_MOST: dict[torch.dtype, tuple[float, float]] = {
    torch.int8: (-128.0, 127.0),
    torch.float8_e4m3fn: (-FP8_MOST, FP8_MOST),
}


@triton.jit
def rounded(y, multiplier, zero_point, dtype: tl.constexpr):
    """`y`, float32, as `dtype`; `multiplier` is of y's shape, or None."""
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
    """The exact one, through erf."""
    return 0.5 * y * (1.0 + tl.erf(y * 0.7071067811865476))


def put(y: Tensor, encoding: Encoding, to: Tensor) -> None:
    """The twin of `rounded`: write `y`, float32 [..., N], into `to`."""
    if encoding.multiplier is None:
        to.copy_(y)
        return
    y = (y * encoding.multiplier + encoding.zero_point).clamp(*_MOST[encoding.dtype])
    to.copy_(y.round() if encoding.dtype == torch.int8 else y)
