"""What is added to a product's result, in the form in which its producer left it.

A LayerNorm whose output has 16 bits leaves that output. One that writes bytes leaves its input and two numbers for each
row instead: the reader normalizes again, which costs two multiplications and spares a pass the writing of 16 bits.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels.norm import row_places
from backends.pytorch_cpu.kernels import LayerNorm


class Residual(NamedTuple):
    """[T, H]: `rows`; or with `statistics`, (rows * s + t) * norm.weight + norm.bias, which is LayerNorm(rows)."""

    rows: Tensor  # float16 or bfloat16 [T, H]
    statistics: Tensor | None = None  # float32 [T, 2]: s = 1 / deviation and t = -mean / deviation of each row
    norm: LayerNorm | None = None  # given if `statistics` are


def twin(residual: Residual) -> Tensor:
    """Its values, float32 [T, H]."""
    rows = residual.rows.float()
    if residual.statistics is None or residual.norm is None:
        return rows
    scale, shift = residual.statistics.split(1, 1)
    values: Tensor = (rows * scale + shift) * residual.norm.weight + residual.norm.bias
    return values


@triton.jit
def residual_rows(rows, statistics, weight, bias, token, tokens, columns, width):
    """Rows `token`, float32 [rows, columns]; `statistics`, `weight` and `bias` are None where it has none."""
    at, inside = row_places(token, tokens, columns, width)
    x = tl.load(rows + at, inside, 0.0).to(tl.float32)
    if statistics is not None:
        scale = tl.load(statistics + token * 2, token < tokens, 0.0)
        shift = tl.load(statistics + token * 2 + 1, token < tokens, 0.0)
        factors, offsets = (
            tl.load(weight + columns, columns < width, 0.0),
            tl.load(bias + columns, columns < width, 0.0),
        )
        x = (x * scale[:, None] + shift[:, None]) * factors[None, :] + offsets[None, :]
    return x
