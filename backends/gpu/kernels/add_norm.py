"""Residual + LayerNorm, and its result in the encoding of the next product, in one pass over memory."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels import norm as norms
from backends.gpu.kernels import residual as residuals
from backends.gpu.kernels.norm import norm_row, warps
from backends.gpu.kernels.residual import Residual, residual_row
from backends.pytorch_cpu.kernels import Encoding, LayerNorm


def twin(
    sums: Tensor,
    residual: Residual | None,
    norm: LayerNorm,
    encoding: Encoding,
    to: Tensor,
    statistics: Tensor | None,
) -> None:
    """LayerNorm(sums + residual) into `to` in `encoding`; and what the next residual needs, unless that is `to`.

    Args:
        sums: float16 or bfloat16 [T, H]. With `statistics`, the residual is added to them in memory too.
        residual: None if the product has added it.
        to: [T, H]; may be `sums`.
        statistics: float32 [T, 2], written as `Residual` has them; None if `to` is the next residual.
    """
    x = sums.float()
    if residual is not None:
        x = x + residuals.twin(residual)
        if statistics is not None:
            x = sums.copy_(x).float()
    norms.twin(x, norm, encoding, to, statistics)


def launch(
    sums: Tensor,
    residual: Residual | None,
    norm: LayerNorm,
    encoding: Encoding,
    to: Tensor,
    statistics: Tensor | None,
) -> None:
    """The same as `twin`, through the Triton kernel."""
    tokens, width = sums.shape
    block = triton.next_power_of_2(width)
    rows, moments, earlier = residual or (None, None, None)
    earlier_weight, earlier_bias = (earlier.weight, earlier.bias) if earlier else (None, None)
    _add_norm[(tokens,)](
        sums, rows, moments, earlier_weight, earlier_bias, norm.weight, norm.bias, encoding.multiplier, to, statistics,
        norm.epsilon, float(encoding.zero_point), width, block=block, num_warps=warps(block),
        **dependents.options(),
    )  # fmt: skip


@triton.jit
def _add_norm(
    sums, rows, moments, earlier_weight, earlier_bias, weight, bias, multiplier, to, statistics,
    epsilon, zero_point, width, block: tl.constexpr, dependent: tl.constexpr,
):  # fmt: skip
    """One program per token, the last token first: the product before wrote it last, so the L2 cache may have it."""
    if dependent:
        dependents.ask_for_vector(weight, width, block)
        dependents.ask_for_vector(bias, width, block)
        dependents.ask_for_vector(multiplier, width, block)
    dependents.wait(dependent)
    token = (tl.num_programs(0) - 1 - tl.program_id(0)).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    x = tl.load(sums + token * width + columns, inside, 0.0).to(tl.float32)
    if rows is not None:
        x += residual_row(rows, moments, earlier_weight, earlier_bias, token, width, columns, inside)
        if statistics is not None:
            kept = x.to(sums.dtype.element_ty)
            tl.store(sums + token * width + columns, kept, inside)
            x = kept.to(tl.float32)
    norm_row(x, columns, inside, width, weight, bias, epsilon, multiplier, zero_point, token, to, statistics)
