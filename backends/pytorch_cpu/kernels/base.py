"""The contract of the CPU kernels, and the types that they share."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class LayerNorm(NamedTuple):
    """A LayerNorm's parameters, float32 [H]."""

    weight: Tensor
    bias: Tensor
    epsilon: float


Ids = tuple[Tensor, Tensor, Tensor]  # input, token type and position ids, int64 [T] each


class EmbeddingTables(NamedTuple):
    """BERT's embedding tables, float32 [rows, H]."""

    words: Tensor
    types: Tensor
    positions: Tensor


class Encoding(NamedTuple):
    """How the input [T, K] of a matrix product is stored.

    Bytes are round(x * multiplier + zero_point), ties to even, clamped to the type's range; floats have neither.
    """

    dtype: torch.dtype  # float32, bfloat16, uint8 or int8
    multiplier: Tensor | None = None  # float32 [K]
    zero_point: int = 0

    def empty(self, tokens: int, width: int) -> Activation:
        """An uninitialized input in this encoding, [tokens, width]."""
        return Activation(torch.empty(tokens, width, dtype=self.dtype), self)


class Activation(NamedTuple):
    """The input of a matrix product, filled or still to be filled."""

    values: Tensor
    encoding: Encoding


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
            projected: float32 or bfloat16 [T, H].
            stream: float32 [T, H].
        """

    def attention(self, qkv: Tensor, cu_seqlens: Tensor, heads: int, to: Activation) -> None:
        """softmax(Q Kᵀ / √head_size) V of every sample and head, into `to` [T, H].

        Args:
            qkv: float32 or bfloat16 [T, 3 H]: queries, keys, values.
            cu_seqlens: int64 [B + 1].
        """
