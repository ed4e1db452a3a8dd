"""Residual + LayerNorm, and its result in the encoding of the next product, in one pass over memory."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels import norm as norms
from backends.gpu.kernels import residual as residuals
from backends.gpu.kernels.gemm import multiprocessors
from backends.gpu.kernels.norm import MANY_TOKENS, form_of, norm_factors, norm_rows, row_places, warps_of
from backends.gpu.kernels.residual import Residual, residual_rows
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
    form = form_of(tokens, to.device, MANY_TOKENS)
    blocks = triton.cdiv(tokens, form.rows)
    programs = min(blocks, form.programs * multiprocessors(to.device)) if form.programs else blocks
    _add_norm[(programs,)](
        sums, rows, moments, earlier_weight, earlier_bias, norm.weight, norm.bias, encoding.multiplier, to, statistics,
        norm.epsilon, float(encoding.zero_point), tokens, width,
        rows_each=form.rows, loops=bool(form.programs), block=block, num_warps=warps_of(form, block),
        **dependents.options(),
    )  # fmt: skip


@triton.jit(do_not_specialize=["tokens"])  # one kernel for any number of tokens
def _add_norm(
    sums, rows, moments, earlier_weight, earlier_bias, weight, bias, multiplier, to, statistics,
    epsilon, zero_point, tokens,
    width: tl.constexpr, rows_each: tl.constexpr, loops: tl.constexpr, block: tl.constexpr, dependent: tl.constexpr,
):  # fmt: skip
    """A program for `rows_each` tokens, the last ones first: they were written last, so the L2 cache may have them.

    If it `loops`, also for those before them, at a distance of all programs' tokens.
    """
    columns = tl.arange(0, block)
    loaded = None
    if dependent or loops:
        loaded = norm_factors(weight, bias, multiplier, columns, width)
    dependents.wait(dependent)
    if loops:
        blocks, stride = tl.cdiv(tokens, rows_each), tl.num_programs(0)
        token = (blocks - 1 - tl.program_id(0)) * rows_each + tl.arange(0, rows_each)
        following = _rows(sums, token, tokens, columns, width)
        for _ in range(tl.program_id(0), blocks, stride):
            x = following.to(tl.float32)
            following = _rows(sums, token - stride * rows_each, tokens, columns, width)
            x = _added(x, sums, rows, moments, earlier_weight, earlier_bias, statistics, token, tokens, columns, width)
            norm_rows(
                x, token, tokens, columns, width, weight, bias, epsilon, multiplier, zero_point, to, statistics, loaded
            )
            token -= stride * rows_each
    else:
        token = (tl.num_programs(0) - 1 - tl.program_id(0)) * rows_each + tl.arange(0, rows_each)
        x = _rows(sums, token, tokens, columns, width).to(tl.float32)
        x = _added(x, sums, rows, moments, earlier_weight, earlier_bias, statistics, token, tokens, columns, width)
        norm_rows(
            x, token, tokens, columns, width, weight, bias, epsilon, multiplier, zero_point, to, statistics, loaded
        )


@triton.jit
def _rows(sums, token, tokens, columns, width):
    """Rows, zero in places that do not exist."""
    at, inside = row_places(token, tokens, columns, width)
    return tl.load(sums + at, inside, 0.0)


@triton.jit
def _added(x, sums, rows, moments, earlier_weight, earlier_bias, statistics, token, tokens, columns, width):
    """`x` with its residual, if there is one; rounded and kept in `sums` if it is the next residual."""
    if rows is not None:
        x += residual_rows(rows, moments, earlier_weight, earlier_bias, token, tokens, columns, width)
        if statistics is not None:
            at, inside = row_places(token, tokens, columns, width)
            kept = x.to(sums.dtype.element_ty)
            tl.store(sums + at, kept, inside)
            x = kept.to(tl.float32)
    return x
