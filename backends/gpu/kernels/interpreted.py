"""Workarounds for two errors of Triton's interpreter (TRITON_INTERPRET=1).

It multiplies bfloat16 values as the integers of their bits, and its cast to fp8 loses a carry into the exponent. Code
compiled for a GPU is not affected.
"""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


@triton.jit
def dot(a, b, total):
    """total + a b, accumulated in the dtype of `total`."""
    if INTERPRETED and a.dtype == tl.bfloat16:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, out_dtype=total.dtype)


@triton.jit
def representable(y):
    """`y`, float32, rounded to a value of e4m3: 4 significant bits (Veltkamp splitting), steps of 2**-9 below 2**-6."""
    if INTERPRETED:
        wide = y * 1048577.0
        y = tl.where(tl.abs(y) < 0.015625, (y + 24576.0) - 24576.0, wide - (wide - y))
    return y
