"""LayerNorm of one row in registers, and its two stores: the code that `embed` and `add_norm` share."""

from __future__ import annotations

import triton
import triton.language as tl

from backends.gpu.kernels.rounding import rounded


def warps(block: int) -> int:
    """The number of warps at which a thread loads 16 bytes of a row of 16-bit values at once."""
    return max(1, min(16, block // 256))


@triton.jit
def norm_row(x, columns, inside, width, weight, bias, epsilon, multiplier, zero_point, token, stream, to):
    """LayerNorm of `x`, float32, zero where not `inside`; into row `token` of `stream`, and of `to` unless None."""
    centred = tl.where(inside, x - tl.sum(x, 0) / width, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / width + epsilon)
    y = centred * scale * tl.load(weight + columns, inside, 0.0) + tl.load(bias + columns, inside, 0.0)
    tl.store(stream + token * width + columns, y.to(stream.dtype.element_ty), inside)
    if to is not None:
        factors = None
        if multiplier is not None:
            factors = tl.load(multiplier + columns, inside, 0.0)
        tl.store(to + token * width + columns, rounded(y, factors, zero_point, to.dtype.element_ty), inside)
