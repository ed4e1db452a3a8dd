"""The matrix product with a fused epilogue: y = act((x Wᵀ) * scale + bias) in the next product's encoding.

Both operands have K innermost, as tensor cores require for bytes. Programs are ordered so that a group of `_GROUP`
tiles of rows shares operands in the L2 cache. The best tile for a shape is measured (gemm_tuning.py).

Large tiles load their operands by tensor descriptors: Hopper's TMA copies whole tiles, pads them at the edges and needs
no registers for addresses. On other GPUs Triton turns descriptors into plain loads. A persistent program computes tile
after tile: the loads of the next one begin before the epilogue, and results leave by the TMA while it goes on.

What a tile costs is read from its machine code (benchmarks/gpu_compiled.py). No tile may be one that the assembler
serializes: it would wait after every matrix instruction, as it does for 128x256 unless persistent.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F
from triton.tools.tensor_descriptor import TensorDescriptor

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels.interpreted import dot
from backends.gpu.kernels.rounding import TRITON_TYPES, rounded, store
from backends.gpu.kernels.rounding import gelu as gelu_of
from backends.pytorch_cpu.kernels import Encoding

_GROUP = 8  # tiles of rows
_ALIGNED = 16  # bytes
_SMALL, _MANY_TOKENS = 64 * 64, 1024  # a tile with so few results is slower than others for so many tokens
_EMULATED_MULTIPROCESSORS = 2  # where kernels are interpreted: few, so that a persistent program has several tiles


class Tile(NamedTuple):
    """The part of a product that one program computes: rows and columns of the result, bytes of K per step."""

    rows: int
    columns: int
    depth_bytes: int
    warps: int
    stages: int
    described: bool = False  # loads operands by descriptors; their rows must be multiples of 16 bytes
    persistent: bool = False  # a program on each multiprocessor, described; else one for each tile

    def takes(self, weight: Tensor, tokens: int) -> bool:
        """True if it can compute products of `tokens` tokens with `weight`, [N, K], and might be the fastest."""
        n, row_bytes = len(weight), weight.shape[1] * weight.element_size()
        if (self.described and row_bytes % _ALIGNED) or (self.persistent and n % _ALIGNED):
            return False
        return self.rows <= 2 * max(tokens, 64) if self.rows * self.columns > _SMALL else tokens < _MANY_TOKENS


# By name, from those for a single sample to those for many thousand tokens.
TILES: dict[str, Tile] = {
    "32x64": Tile(32, 64, 128, 4, 4),
    "64x64": Tile(64, 64, 128, 4, 4),
    "64x128": Tile(64, 128, 128, 4, 4),
    "128x128": Tile(128, 128, 128, 8, 3),
    "128x128 described": Tile(128, 128, 128, 4, 3, described=True),
    "128x256 persistent": Tile(128, 256, 128, 8, 3, described=True, persistent=True),
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
    operands: tuple[Any, ...] = (x, weight, to)
    if shape.described:
        blocks = [shape.rows, depth], [shape.columns, depth]
        operands = (*map(TensorDescriptor.from_tensor, operands[:2], blocks), to)
    if shape.persistent:
        operands = (*operands[:2], TensorDescriptor.from_tensor(to, [shape.rows, shape.columns]))
    tiles = triton.cdiv(m, shape.rows) * triton.cdiv(n, shape.columns)
    programs = min(tiles, multiprocessors(x.device)) if shape.persistent else tiles
    _gemm[(programs,)](
        *operands, scale, bias, encoding.multiplier, float(encoding.zero_point), m, n, k,
        rows=shape.rows, columns=shape.columns, depth=depth, group=_GROUP,
        whole_n=n % shape.columns == 0, whole_k=k % depth == 0,
        described=shape.described, persistent=shape.persistent,
        sums=tl.int32 if x.dtype == torch.int8 else tl.float32, out=TRITON_TYPES[encoding.dtype], gelu=gelu,
        num_warps=shape.warps, num_stages=shape.stages,
        asks=_can_ask(weight), **dependents.options(),
    )  # fmt: skip


def _can_ask(weight: Tensor) -> bool:
    """True if rows of `weight` can be asked for, each at once."""
    return weight.shape[1] * weight.element_size() % _ALIGNED == 0 and weight.data_ptr() % _ALIGNED == 0


@functools.cache
def multiprocessors(device: torch.device) -> int:
    """How many the GPU has."""
    if device.type != "cuda":
        return _EMULATED_MULTIPROCESSORS
    return torch.cuda.get_device_properties(device).multi_processor_count


@triton.jit(do_not_specialize=["m"])  # one kernel for any number of tokens
def _gemm(
    x, weight, to, scale, bias, multiplier, zero_point, m, n, k,
    rows: tl.constexpr, columns: tl.constexpr, depth: tl.constexpr, group: tl.constexpr,
    whole_n: tl.constexpr, whole_k: tl.constexpr, described: tl.constexpr,
    persistent: tl.constexpr, sums: tl.constexpr, out: tl.constexpr, gelu: tl.constexpr,
    asks: tl.constexpr, dependent: tl.constexpr,
):  # fmt: skip
    """One program per tile of the result; or as many as run at the same time, each with one tile after the other."""
    if dependent and asks and not described:
        _ask_for_weights(weight, scale, bias, multiplier, m, n, k, rows, columns, group)
    dependents.wait(dependent)
    if persistent:
        tiles = tl.cdiv(n, columns) * tl.cdiv(m, rows)
        for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0), flatten=True):
            _tile(
                tile, x, weight, to, scale, bias, multiplier, zero_point, m, n, k, rows, columns, depth, group,
                whole_n, whole_k, True, True, sums, out, gelu,
            )  # fmt: skip
    else:
        _tile(
            tl.program_id(0), x, weight, to, scale, bias, multiplier, zero_point, m, n, k, rows, columns, depth, group,
            whole_n, whole_k, described, False, sums, out, gelu,
        )  # fmt: skip


@triton.jit
def _tile(
    tile, x, weight, to, scale, bias, multiplier, zero_point, m, n, k,
    rows: tl.constexpr, columns: tl.constexpr, depth: tl.constexpr, group: tl.constexpr,
    whole_n: tl.constexpr, whole_k: tl.constexpr, described: tl.constexpr,
    described_to: tl.constexpr, sums: tl.constexpr, out: tl.constexpr, gelu: tl.constexpr,
):  # fmt: skip
    """One tile of the result. Rows and columns beyond the end wrap around for loads and are not stored."""
    first_row, first_column = _first(tile, m, n, rows, columns, group)
    row, column = first_row + tl.arange(0, rows), first_column + tl.arange(0, columns)
    total = tl.zeros([rows, columns], sums)
    for start in range(0, k, depth):
        if described:
            left, right = x.load([first_row, start]), weight.load([first_column, start])
        else:
            left, right = (
                _rows(x, row % m, start, k, depth, whole_k),
                _rows(weight, column % n, start, k, depth, whole_k),
            )
        total = dot(left, tl.trans(right), total)
    y = total.to(tl.float32)
    if scale is not None:
        y = y * _columns(scale, column, n, whole_n)
    y += _columns(bias, column, n, whole_n)
    if gelu:
        y = gelu_of(y)
    factors = None
    if multiplier is not None:
        factors = _columns(multiplier, column, n, whole_n)
    y = rounded(y, factors, zero_point, out)
    if described_to:
        to.store([first_row, first_column], y)
    else:
        written = (row < m)[:, None] if whole_n else (row < m)[:, None] & (column < n)[None, :]
        tl.store(to + row.to(tl.int64)[:, None] * n + column[None, :], y, written)


@triton.jit
def _first(tile, m, n, rows: tl.constexpr, columns: tl.constexpr, group: tl.constexpr):
    """The first row and column of a tile."""
    across = tl.cdiv(n, columns)
    stripe = tile // (group * across)
    high = tl.minimum(tl.cdiv(m, rows) - stripe * group, group)
    within = tile % (group * across)
    return (stripe * group + within % high) * rows, (within // high) * columns


@triton.jit
def _ask_for_weights(
    weight, scale, bias, multiplier, m, n, k, rows: tl.constexpr, columns: tl.constexpr, group: tl.constexpr,
):  # fmt: skip
    """Ask for what the first tile of this program reads that no kernel writes; one of several with the same columns."""
    first_row, first_column = _first(tl.program_id(0), m, n, rows, columns, group)
    if first_row == 0:
        column = (first_column + tl.arange(0, columns)) % n
        dependents.ask_for(weight + column.to(tl.int64) * k, k * (weight.dtype.element_ty.primitive_bitwidth // 8))
        dependents.ask_for_line(bias + column)
        if scale is not None:
            dependents.ask_for_line(scale + column)
        if multiplier is not None:
            dependents.ask_for_line(multiplier + column)


@triton.jit
def _rows(matrix, row, start, k, depth: tl.constexpr, whole: tl.constexpr):
    """[rows, depth] of `matrix`, from column `start`; zero beyond column k, where not `whole`."""
    column = start + tl.arange(0, depth)
    at = matrix + row.to(tl.int64)[:, None] * k + column[None, :]
    return tl.load(at) if whole else tl.load(at, (column < k)[None, :], 0.0)


@triton.jit
def _columns(vector, column, n, whole: tl.constexpr):
    """[1, columns] of `vector`: a mask would cost registers, and with them the second program of a multiprocessor."""
    return (tl.load(vector + column) if whole else tl.load(vector + column, column < n, 0.0))[None, :]
