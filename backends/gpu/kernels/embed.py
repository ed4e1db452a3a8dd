"""Embedding: the sum of three table rows, LayerNorm, and the first product's input, in one pass."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels import norm as norms
from backends.gpu.kernels.norm import norm_row, warps
from backends.pytorch_cpu.kernels import EmbeddingTables, Encoding, LayerNorm

Ids = tuple[Tensor, Tensor, Tensor]  # input, token type, position; integers [T]


def twin(
    ids: Ids,
    tables: EmbeddingTables,
    norm: LayerNorm,
    encoding: Encoding,
    to: Tensor,
    sums: Tensor | None,
    statistics: Tensor | None,
) -> None:
    """LayerNorm of the summed embeddings into `to` [T, H], in `encoding`; and what the next residual needs.

    That is the sums, float16 or bfloat16 [T, H], and their statistics; both are None if `to` is the next residual.
    """
    words, types, positions = (table[rows].float() for table, rows in zip(tables, ids, strict=True))
    x = words + types + positions
    norms.twin(x if sums is None else sums.copy_(x).float(), norm, encoding, to, statistics)


def launch(
    ids: Ids,
    tables: EmbeddingTables,
    norm: LayerNorm,
    encoding: Encoding,
    to: Tensor,
    sums: Tensor | None,
    statistics: Tensor | None,
) -> None:
    """The same as `twin`, through the Triton kernel."""
    tokens, width = to.shape
    block = triton.next_power_of_2(width)
    _embed[(tokens,)](
        *ids, *tables, norm.weight, norm.bias, encoding.multiplier, to, sums, statistics,
        norm.epsilon, float(encoding.zero_point), width, block=block, num_warps=warps(block),
        **dependents.options(is_first=True),
    )  # fmt: skip


@triton.jit
def _embed(
    word_ids, type_ids, position_ids, words, types, positions, weight, bias, multiplier, to, sums, statistics,
    epsilon, zero_point, width, block: tl.constexpr, dependent: tl.constexpr,
):  # fmt: skip
    """One program per token."""
    dependents.wait(dependent)
    token = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    x = tl.load(words + tl.load(word_ids + token).to(tl.int64) * width + columns, inside, 0.0).to(tl.float32)
    x += tl.load(types + tl.load(type_ids + token).to(tl.int64) * width + columns, inside, 0.0).to(tl.float32)
    x += tl.load(positions + tl.load(position_ids + token).to(tl.int64) * width + columns, inside, 0.0).to(tl.float32)
    if sums is not None:
        kept = x.to(sums.dtype.element_ty)
        tl.store(sums + token * width + columns, kept, inside)
        x = kept.to(tl.float32)
    norm_row(x, columns, inside, width, weight, bias, epsilon, multiplier, zero_point, token, to, statistics)
