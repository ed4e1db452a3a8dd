"""Stores a kernel's result as a float or as quantized bytes, in Triton and in PyTorch.

Triton has no rounding function that its interpreter supports too. Adding 1.5 * 2**23 to a float32 leaves no bits for a
fraction, so the processor rounds it, ties to even; subtracting it again gives the integer.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels.interpreted import INTERPRETED, representable
from backends.pytorch_cpu.kernels import Encoding

FP8_MAX = 448.0  # the largest value of e4m3, which has no infinity
_LIMITS: dict[torch.dtype, tuple[float, float]] = {
    torch.int8: (-128.0, 127.0),
    torch.float8_e4m3fn: (-FP8_MAX, FP8_MAX),
}

# Two integers as bytes, held to the range of int8; the first is the low one.
_SATURATED = tl.constexpr("""{
    .reg .b32 pair;
    cvt.pack.sat.s8.s32.b32 pair, $2, $1, 0;
    cvt.u16.u32 $0, pair;
}""")
TRITON_TYPES = {
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.int8: tl.int8,
    torch.float8_e4m3fn: tl.float8e4nv,
}
# 1 / (1 + 2**p) of two values, with one reciprocal of the product of both denominators, at most 2**81.
_SIGMOIDS = tl.constexpr("""{
    .reg .f32 a, b, c;
    ex2.approx.ftz.f32 a, $2;
    ex2.approx.ftz.f32 b, $3;
    add.ftz.f32 a, a, 0f3F800000;
    add.ftz.f32 b, b, 0f3F800000;
    mul.ftz.f32 c, a, b;
    rcp.approx.ftz.f32 c, c;
    mul.ftz.f32 $0, c, b;
    mul.ftz.f32 $1, c, a;
}""")


@triton.jit
def rounded(y, multiplier, zero_point, dtype: tl.constexpr):
    """`y`, float32, converted to `dtype`; `multiplier` broadcasts to y, or is None."""
    if dtype == tl.int8:
        q = (y * multiplier + (zero_point + 12582912.0)).to(tl.int32, bitcast=True) - 0x4B400000
        if INTERPRETED:
            return tl.clamp(q, -128, 127).to(tl.int8)
        return tl.inline_asm_elementwise(_SATURATED, "=h,r,r", [q], dtype=tl.int8, is_pure=True, pack=2)
    if multiplier is not None:
        y = y * multiplier
    if INTERPRETED and dtype == tl.float8e4nv:
        y = representable(tl.clamp(y, -448.0, 448.0))
    return y.to(dtype)


@triton.jit
def gelu(y):
    """GELU to 2.6e-5: y / (1 + 2**p), p an odd polynomial of y, fitted."""
    z = tl.clamp(y, -8.0, 8.0)
    s = z * z
    p = z * (-2.30112134 + s * (-0.106775724 + s * 0.00101426311))
    if INTERPRETED:
        return y / (1.0 + tl.exp2(p))
    return y * tl.inline_asm_elementwise(_SIGMOIDS, "=f,=f,f,f", [p], dtype=tl.float32, is_pure=True, pack=2)


def store(y: Tensor, encoding: Encoding, to: Tensor) -> None:
    """The PyTorch twin of `rounded`: write `y`, float32 [..., N], into `to`."""
    if encoding.multiplier is None:
        to.copy_(y)
        return
    y = (y * encoding.multiplier + encoding.zero_point).clamp(*_LIMITS[encoding.dtype])
    to.copy_(y.round() if encoding.dtype == torch.int8 else y)
