"""The matrix product with a fused epilogue: y = act((x Wᵀ) * scale + bias) in the next product's encoding.

Both operands have K innermost, as tensor cores require for bytes. Programs are ordered so that a group of `_GROUP`
tiles of rows shares operands in the L2 cache. The best tile for a shape is measured (gemm_tuning.py).

Large tiles load their operands by tensor descriptors: Hopper's TMA copies whole tiles, pads them at the edges and needs
no registers for addresses. On other GPUs Triton turns descriptors into plain loads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F
from triton.tools.tensor_descriptor import TensorDescriptor

from backends.gpu.kernels.interpreted import dot
from backends.gpu.kernels.rounding import gelu as gelu_of
from backends.gpu.kernels.rounding import rounded, store
from backends.pytorch_cpu.kernels import Encoding

_GROUP = 8  # tiles of rows
_ALIGNED = 16  # bytes


class Tile(NamedTuple):
    """The part of a product that one program computes: rows and columns of the result, bytes of K per step."""

    rows: int
    columns: int
    depth_bytes: int
    warps: int
    stages: int
    described: bool = False  # loads operands by descriptors; their rows must be multiples of 16 bytes

    def takes(self, weight: Tensor) -> bool:
        """True if it can compute products with `weight`, [N, K]."""
        return not self.described or weight.shape[1] * weight.element_size() % _ALIGNED == 0


# By name, from those for a single sample to those for many thousand tokens.
TILES: dict[str, Tile] = {
    "32x64": Tile(32, 64, 128, 4, 4),
    "64x64": Tile(64, 64, 128, 4, 4),
    "64x128": Tile(64, 128, 128, 4, 4),
    "128x128": Tile(128, 128, 128, 8, 3),
    "128x128 described": Tile(128, 128, 128, 8, 4, described=True),
    "128x256 described": Tile(128, 256, 128, 8, 3, described=True),
    "256x128 described": Tile(256, 128, 128, 8, 3, described=True),
}
DEFAULT = "128x128"


def twin(
    x: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    bias: Tensor,
    gelu: bool,
    encoding: Encoding,
    to: Tensor,
    tile: str = "",
) -> None:
    """act((x Wᵀ) * scale + bias) into `to` [T, N] in `encoding`.

    Args:
        x: [T, K] in float16, bfloat16, int8 or fp8; `weight` [N, K] in the same.
        scale, bias: float32 [N]; a scale of None is 1.
        tile: one of TILES; it changes the speed only.
    """
    y = x.float() @ weight.float().T
    y = y + bias if scale is None else y * scale + bias
    store(F.gelu(y) if gelu else y, encoding, to)


def launch(
    x: Tensor, weight: Tensor, scale: Tensor | None, bias: Tensor, gelu: bool, encoding: Encoding, to: Tensor,
    tile: str = DEFAULT,
) -> None:  # fmt: skip
    """The same as `twin`, through the Triton kernel."""
    (m, k), n = x.shape, len(weight)
    shape = TILES[tile]
    depth = shape.depth_bytes // x.element_size()
    operands: tuple[Any, Any] = (x, weight)
    if shape.described:
        blocks = [shape.rows, depth], [shape.columns, depth]
        operands = tuple(map(TensorDescriptor.from_tensor, operands, blocks))
    _gemm[(triton.cdiv(m, shape.rows) * triton.cdiv(n, shape.columns),)](
        *operands, scale, bias, encoding.multiplier, to, float(encoding.zero_point), m, n, k,
        rows=shape.rows, columns=shape.columns, depth=depth, group=_GROUP, described=shape.described,
        sums=tl.int32 if x.dtype == torch.int8 else tl.float32, gelu=gelu,
        num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip


@triton.jit(do_not_specialize=["m"])  # one kernel for any number of tokens
def _gemm(
    x, weight, scale, bias, multiplier, to, zero_point, m, n, k,
    rows: tl.constexpr, columns: tl.constexpr, depth: tl.constexpr, group: tl.constexpr,
    described: tl.constexpr, sums: tl.constexpr, gelu: tl.constexpr,
):  # fmt: skip
    """One program per tile of the result. Rows and columns beyond the end wrap around for loads and are not stored."""
    across = tl.cdiv(n, columns)
    stripe = tl.program_id(0) // (group * across)
    high = tl.minimum(tl.cdiv(m, rows) - stripe * group, group)
    within = tl.program_id(0) % (group * across)
    first_row, first_column = (stripe * group + within % high) * rows, (within // high) * columns
    row, column = first_row + tl.arange(0, rows), first_column + tl.arange(0, columns)
    inner = tl.arange(0, depth)
    total = tl.zeros([rows, columns], sums)
    for start in range(0, k, depth):
        if described:
            left, right = x.load([first_row, start]), weight.load([first_column, start])
        else:
            inside = inner[None, :] < k - start
            left = tl.load(x + (row % m).to(tl.int64)[:, None] * k + start + inner[None, :], inside, 0.0)
            right = tl.load(weight + (column % n).to(tl.int64)[:, None] * k + start + inner[None, :], inside, 0.0)
        total = dot(left, tl.trans(right), total)
    in_columns = column < n
    y = total.to(tl.float32)
    if scale is not None:
        y = y * tl.load(scale + column, in_columns, 0.0)[None, :]
    y += tl.load(bias + column, in_columns, 0.0)[None, :]
    if gelu:
        y = gelu_of(y)
    factors = None
    if multiplier is not None:
        factors = tl.load(multiplier + column, in_columns, 0.0)[None, :]
    to_at = to + row.to(tl.int64)[:, None] * n + column[None, :]
    tl.store(to_at, rounded(y, factors, zero_point, to.dtype.element_ty), (row < m)[:, None] & in_columns[None, :])
