"""The contract of the CPU kernels, and the types that they share."""

from __future__ import annotations

import platform
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class LayerNorm(NamedTuple):
    """A LayerNorm's parameters, float32 [H]."""

    weight: Tensor
    bias: Tensor
    epsilon: float


_BLOCK_ROWS = 32  # that a product reads at once, at most
_ROWS_BETWEEN = 12  # blocks of channels: at a multiple of 2 KiB, a few sets of the cache would hold all lines of a row
LINE_BYTES = 64  # of a cache line
# x86 multiplies uint8 by int8; ARM's fast instructions need two operands of the same type, so bytes are 128 lower.
BYTES, BYTE_SHIFT = (torch.int8, 128) if platform.machine() in ("aarch64", "arm64") else (torch.uint8, 0)
Ids = tuple[Tensor, Tensor, Tensor]  # input, token type and position ids, int64 [T] each


class EmbeddingTables(NamedTuple):
    """BERT's embedding tables, float32 [rows, H]."""

    words: Tensor
    types: Tensor
    positions: Tensor


class Encoding(NamedTuple):
    """How the input [T, K] of a matrix product is stored.

    Bytes are round(x * multiplier + zero_point), ties to even, clamped to the type's range; floats have neither.
    In blocks, it is stored as [K / c, T, c], c channels being a cache line. Some rows follow in each block, so that T
    is filled up to a multiple of what a product reads at once; they hold anything. In panels of the sparse product, it
    is [panels, K / 4, tokens of a panel, 4], and so are the rows that fill up the last one.
    """

    dtype: torch.dtype  # float32, bfloat16, uint8 or int8
    multiplier: Tensor | None = None  # float32 [K]
    zero_point: int = 0
    in_blocks: bool = False
    panel_tokens: int = 0  # not in panels

    @property
    def has_one_scale(self) -> bool:
        """True if all channels have one factor, or none."""
        return self.multiplier is None or bool((self.multiplier == self.multiplier[0]).all())

    def empty(self, tokens: int, width: int) -> Activation:
        """An uninitialized input in this encoding: [tokens, width], in blocks or in panels."""
        if self.panel_tokens:
            panels = -(-tokens // self.panel_tokens)
            return Activation(torch.empty(panels, width // 4, self.panel_tokens, 4, dtype=self.dtype), self)
        if not self.in_blocks:
            return Activation(torch.empty(tokens, width, dtype=self.dtype), self)
        rows, line = -(-tokens // _BLOCK_ROWS) * _BLOCK_ROWS, LINE_BYTES // self.dtype.itemsize
        blocks = torch.empty(width // line, rows + _ROWS_BETWEEN, line, dtype=self.dtype)
        return Activation(blocks[:, :tokens], self)

    def laid_out(self, values: Tensor) -> Tensor:
        """A copy of encoded values [T, K] as this encoding stores them."""
        found = self.empty(*values.shape).values
        rows = by_row(found)
        rows.copy_(values.reshape(rows.shape))
        return found


class Activation(NamedTuple):
    """The input of a matrix product, filled or still to be filled."""

    values: Tensor
    encoding: Encoding


def by_row(values: Tensor) -> Tensor:
    """A view of an activation's values as [T, K / c, c] if they are in blocks, else as they are."""
    return values.transpose(0, 1) if values.dim() == 3 else values


class CpuKernels(Protocol):
    """All tensors are contiguous and on the CPU; T tokens of B packed samples, hidden size H.

    `to` is the input of the next matrix product; None if that reads the stream itself.
    """

    name: str

    def embed(self, ids: Ids, tables: EmbeddingTables, norm: LayerNorm, to: Activation | None) -> Tensor:
        """LayerNorm of the summed embeddings of (input, token type, position) ids, int64 [T] each.

        Returns float32 [T, H], the residual stream; `to` receives the same in its encoding.
        """

    def add_norm(self, projected: Tensor, stream: Tensor, norm: LayerNorm, to: Activation | None) -> None:
        """stream = LayerNorm(stream + projected), in place; `to` receives the same in its encoding.

        Args:
            projected: float32 or bfloat16 [T, H], or in blocks.
            stream: float32 [T, H].
        """

    def gelu(self, x: Tensor, to: Activation) -> None:
        """GELU of x, float32 or bfloat16 [T, N], into `to`; to 2e-4."""

    def attention(self, qkv: Tensor, cu_seqlens: Tensor, heads: int, to: Activation) -> None:
        """softmax(Q Kᵀ / √head_size) V of every sample and head, into `to` [T, H].

        Args:
            qkv: float32 or bfloat16 [T, 3 H], or in blocks that begin a head: queries, keys, values.
            cu_seqlens: int64 [B + 1].
        """
