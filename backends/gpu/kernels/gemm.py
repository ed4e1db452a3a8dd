"""The matrix product with all that follows it: y = act((x Wᵀ) * scale + bias) in the next product's encoding.

Both operands lie with K innermost, as tensor cores want bytes. Tiles of one stripe of rows are computed by neighbours
(`_GROUP`), so that what they read together stays in the L2 cache. Which tile suits a shape is measured (choice.py).

Large tiles bring their operands by tensor descriptors: Hopper has an engine that copies whole tiles, fills up what lies
beyond an end, and takes no registers for addresses. Elsewhere Triton makes plain loads of them.
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
from backends.gpu.kernels.rounding import put, rounded
from backends.pytorch_cpu.kernels import Encoding

_GROUP = 8  # tiles of rows
_ALIGNED = 16  # bytes


class Tile(NamedTuple):
    """How one program is cut: rows and columns of its result, bytes of K it takes at a time."""

    rows: int
    columns: int
    depth_bytes: int
    warps: int
    stages: int
    described: bool = False  # brings its operands by descriptors, whose rows begin at multiples of 16 bytes

    def takes(self, weight: Tensor) -> bool:
        """True where it can compute products with `weight`, [N, K]."""
        return not self.described or weight.shape[1] * weight.element_size() % _ALIGNED == 0


# By name, from what suits a single sample to what suits many thousand tokens.
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
    """Into `to` [T, N], in `encoding`.

    Args:
        x: [T, K] in float16, bfloat16, int8 or fp8; `weight` [N, K] in the same.
        scale, bias: float32 [N]; a scale of None is 1.
        tile: one of TILES; it changes nothing but the speed.
    """
    y = x.float() @ weight.float().T
    y = y + bias if scale is None else y * scale + bias
    put(F.gelu(y) if gelu else y, encoding, to)


def launch(
    x: Tensor, weight: Tensor, scale: Tensor | None, bias: Tensor, gelu: bool, encoding: Encoding, to: Tensor,
    tile: str = DEFAULT,
) -> None:  # fmt: skip
    """As `twin` does."""
    (m, k), n = x.shape, len(weight)
    cut = TILES[tile]
    depth = cut.depth_bytes // x.element_size()
    operands: tuple[Any, Any] = (x, weight)
    if cut.described:
        blocks = [cut.rows, depth], [cut.columns, depth]
        operands = tuple(map(TensorDescriptor.from_tensor, operands, blocks))
    _gemm[(triton.cdiv(m, cut.rows) * triton.cdiv(n, cut.columns),)](
        *operands, scale, bias, encoding.multiplier, to, float(encoding.zero_point), m, n, k,
        rows=cut.rows, columns=cut.columns, depth=depth, group=_GROUP, described=cut.described,
        sums=tl.int32 if x.dtype == torch.int8 else tl.float32, gelu=gelu,
        num_warps=cut.warps, num_stages=cut.stages,
    )  # fmt: skip


@triton.jit(do_not_specialize=["m"])  # one kernel for any number of tokens
def _gemm(
    x, weight, scale, bias, multiplier, to, zero_point, m, n, k,
    rows: tl.constexpr, columns: tl.constexpr, depth: tl.constexpr, group: tl.constexpr,
    described: tl.constexpr, sums: tl.constexpr, gelu: tl.constexpr,
):  # fmt: skip
    """One tile of the result. Rows and columns beyond the end read the first ones' instead, and are not written."""
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
