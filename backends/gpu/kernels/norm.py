"""LayerNorm of a program's rows in registers, and its stores: the code that `embed` and `add_norm` share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels.gemm import multiprocessors
from backends.gpu.kernels.rounding import rounded, store
from backends.pytorch_cpu.kernels import Encoding, LayerNorm

_MANY = 32  # tokens for each processor


@dataclass(frozen=True)
class Form:
    """How rows are dealt to programs."""

    rows: int  # of a program at once
    warps: int  # for every 1,024 columns, but no more than `warps` gives
    programs: int = 0  # on each processor, which go on to further rows; 0: a program for every `rows` rows


ONCE = Form(4, 4)
# Without a loop every program moves the columns' factors through shared memory, in 24 of its 31 barriers. In a loop
# they stay in registers, 8 barriers are left, and the next rows are on their way: 31 µs on an H200 in place of 38.
MANY_TOKENS = Form(2, 2, 8)
_FEW_TOKENS = Form(1, 4)


def form_of(tokens: int, device: torch.device, many: Form) -> Form:
    """`many`, in which rows share the factors, if there are enough for every processor."""
    return many if tokens >= _MANY * multiprocessors(device) else _FEW_TOKENS


def warps(block: int) -> int:
    """The number of warps at which a thread loads 16 bytes of a row of 16-bit values at once."""
    return max(1, min(16, block // 256))


def warps_of(form: Form, block: int) -> int:
    """A form's warps, but no more than `warps`."""
    return min(warps(block), form.warps * max(1, block // 1024))


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
def row_places(token, tokens, columns, width):
    """Where the rows `token` of a matrix [tokens, width] are, and which of these places exist: [rows, columns] both."""
    at = token.to(tl.int64)[:, None] * width + columns[None, :]
    return at, inside_rows(token, tokens)[:, None] & (columns < width)[None, :]


@triton.jit
def inside_rows(token, tokens):
    """Which rows exist; a program's next rows may be before the first."""
    return (token >= 0) & (token < tokens)


@triton.jit
def norm_factors(weight, bias, multiplier, columns, width):
    """A LayerNorm's factors and offsets and, if any, an encoding's: [columns] each; no kernel writes them."""
    exists = columns < width
    factors, offsets = tl.load(weight + columns, exists, 0.0), tl.load(bias + columns, exists, 0.0)
    if multiplier is None:
        return factors, offsets
    else:  # noqa: RET505 - Triton compiles what follows a return
        return factors, offsets, tl.load(multiplier + columns, exists, 0.0)


@triton.jit
def norm_rows(x, token, tokens, columns, width, weight, bias, epsilon, multiplier, zero_point, to, statistics, loaded):
    """LayerNorm of `x`, float32 [rows, columns], zero in places that do not exist, into `to`; see `twin`.

    `loaded` are the `norm_factors`, or None: then they are loaded late, and hold no registers until then.
    """
    at, inside = row_places(token, tokens, columns, width)
    exists = columns < width
    mean = tl.sum(x, 1) / width
    centred = tl.where(exists[None, :], x - mean[:, None], 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / width + epsilon)
    if loaded is None:
        loaded = norm_factors(weight, bias, multiplier, columns, width)
    y = centred * scale[:, None] * loaded[0][None, :] + loaded[1][None, :]
    multipliers = None
    if multiplier is not None:
        multipliers = loaded[2][None, :]
    tl.store(to + at, rounded(y, multipliers, zero_point, to.dtype.element_ty), inside)
    if statistics is not None:
        tl.store(statistics + token * 2, scale, inside_rows(token, tokens))
        tl.store(statistics + token * 2 + 1, -mean * scale, inside_rows(token, tokens))
