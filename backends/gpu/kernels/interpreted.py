"""Two things that Triton's interpreter (TRITON_INTERPRET=1) computes otherwise than a GPU, put right for it alone.

It multiplies bfloat16 as the integers that hold its bits, and its cast to fp8 loses a carry into the exponent. Compiled
for a GPU nothing of this is left.
"""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


@triton.jit
def dot(a, b, total):
    """total + a b, in the arithmetic that the operands call for."""
    if INTERPRETED and a.dtype == tl.bfloat16:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, out_dtype=total.dtype)


@triton.jit
def representable(y):
    """`y`, float32, at e4m3's nearest value: 4 significant bits (Veltkamp's way), steps of 2**-9 below 2**-6."""
    if INTERPRETED:
        wide = y * 1048577.0
        y = tl.where(tl.abs(y) < 0.015625, (y + 24576.0) - 24576.0, wide - (wide - y))
    return y
