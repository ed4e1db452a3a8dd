"""Embedding: the sum of three table rows, LayerNorm, and the first product's input, in one pass."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels import norm as norms
from backends.gpu.kernels.norm import ONCE, form_of, norm_rows, row_places, warps_of
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
    form = form_of(tokens, to.device, ONCE)
    _embed[(triton.cdiv(tokens, form.rows),)](
        *ids, *tables, norm.weight, norm.bias, encoding.multiplier, to, sums, statistics,
        norm.epsilon, float(encoding.zero_point), tokens, width,
        rows_each=form.rows, block=block, num_warps=warps_of(form, block),
        **dependents.options(is_first=True),
    )  # fmt: skip


@triton.jit(do_not_specialize=["tokens"])  # one kernel for any number of tokens
def _embed(
    word_ids, type_ids, position_ids, words, types, positions, weight, bias, multiplier, to, sums, statistics,
    epsilon, zero_point, tokens,
    width: tl.constexpr, rows_each: tl.constexpr, block: tl.constexpr, dependent: tl.constexpr,
):  # fmt: skip
    """A program for `rows_each` tokens."""
    dependents.wait(dependent)
    token = tl.program_id(0) * rows_each + tl.arange(0, rows_each)
    columns = tl.arange(0, block)
    x = _rows(words, word_ids, token, tokens, columns, width)
    x += _rows(types, type_ids, token, tokens, columns, width)
    x += _rows(positions, position_ids, token, tokens, columns, width)
    if sums is not None:
        at, inside = row_places(token, tokens, columns, width)
        kept = x.to(sums.dtype.element_ty)
        tl.store(sums + at, kept, inside)
        x = kept.to(tl.float32)
    norm_rows(x, token, tokens, columns, width, weight, bias, epsilon, multiplier, zero_point, to, statistics, None)


@triton.jit
def _rows(table, ids, token, tokens, columns, width):
    """The rows of a table for each token, float32."""
    row = tl.load(ids + token, token < tokens, 0).to(tl.int64)
    inside = (token < tokens)[:, None] & (columns < width)[None, :]
    return tl.load(table + row[:, None] * width + columns[None, :], inside, 0.0).to(tl.float32)
