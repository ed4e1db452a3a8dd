"""Embedding: the sum of three table rows, LayerNorm, and the first product's input, in one pass."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels.norm import norm_row, warps
from backends.gpu.kernels.rounding import store
from backends.pytorch_cpu.kernels import EmbeddingTables, Encoding, LayerNorm

Ids = tuple[Tensor, Tensor, Tensor]  # input, token type, position; integers [T]


def twin(
    ids: Ids, tables: EmbeddingTables, norm: LayerNorm, encoding: Encoding, stream: Tensor, to: Tensor | None
) -> None:
    """LayerNorm of the summed embeddings into `stream`, float16 or bfloat16 [T, H]; and into `to`, unless None."""
    words, types, positions = (table[rows].float() for table, rows in zip(tables, ids, strict=True))
    y = F.layer_norm(words + types + positions, norm.weight.shape, norm.weight, norm.bias, norm.epsilon)
    stream.copy_(y)
    if to is not None:
        store(y, encoding, to)


def launch(
    ids: Ids, tables: EmbeddingTables, norm: LayerNorm, encoding: Encoding, stream: Tensor, to: Tensor | None
) -> None:
    """The same as `twin`, through the Triton kernel."""
    tokens, width = stream.shape
    block = triton.next_power_of_2(width)
    _embed[(tokens,)](
        *ids, *tables, norm.weight, norm.bias, encoding.multiplier, stream, to,
        norm.epsilon, float(encoding.zero_point), width, block=block, num_warps=warps(block),
        **dependents.options(is_first=True),
    )  # fmt: skip


@triton.jit
def _embed(
    word_ids, type_ids, position_ids, words, types, positions, weight, bias, multiplier, stream, to,
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
    norm_row(x, columns, inside, width, weight, bias, epsilon, multiplier, zero_point, token, stream, to)
