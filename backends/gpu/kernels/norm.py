"""LayerNorm of one row in registers, and its stores: the code that `embed` and `add_norm` share."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels.rounding import rounded, store
from backends.pytorch_cpu.kernels import Encoding, LayerNorm


def warps(block: int) -> int:
    """The number of warps at which a thread loads 16 bytes of a row of 16-bit values at once."""
    return max(1, min(16, block // 256))


def twin(x: Tensor, norm: LayerNorm, encoding: Encoding, to: Tensor, statistics: Tensor | None) -> None:
    """LayerNorm(x) into `to` in `encoding`; and 1 / deviation and -mean / deviation into `statistics`, unless None.

    Args:
        x: float32 [T, H].
    """
    variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + norm.epsilon)
    store((x - mean) * scale * norm.weight + norm.bias, encoding, to)
    if statistics is not None:
        statistics.copy_(torch.cat([scale, -mean * scale], 1))


@triton.jit
def norm_row(x, columns, inside, width, weight, bias, epsilon, multiplier, zero_point, token, to, statistics):
    """LayerNorm of `x`, float32, zero where not `inside`, into row `token` of `to`; see `twin`."""
    mean = tl.sum(x, 0) / width
    centred = tl.where(inside, x - mean, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / width + epsilon)
    y = centred * scale * tl.load(weight + columns, inside, 0.0) + tl.load(bias + columns, inside, 0.0)
    factors = None
    if multiplier is not None:
        factors = tl.load(multiplier + columns, inside, 0.0)
    tl.store(to + token * width + columns, rounded(y, factors, zero_point, to.dtype.element_ty), inside)
    if statistics is not None:
        tl.store(statistics + token * 2, scale)
        tl.store(statistics + token * 2 + 1, -mean * scale)
