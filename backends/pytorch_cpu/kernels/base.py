"""The kernels' contract, and the few words they share."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Norm(NamedTuple):
    """A LayerNorm's parameters, float32 [H]."""

    weight: Tensor
    bias: Tensor
    epsilon: float


class Tables(NamedTuple):
    """BERT's embedding tables, float32 [rows, H]."""

    words: Tensor
    types: Tensor
    positions: Tensor


class Form(NamedTuple):
    """How a matrix product wants its input, [T, K].

    Bytes are round(x * multiplier + zero_point), ties to even, held to their type's range; floats have neither.
    """

    dtype: torch.dtype  # float32, bfloat16, uint8 or int8
    multiplier: Tensor | None = None  # float32 [K]
    zero_point: int = 0

    def empty(self, tokens: int, width: int) -> Activation:
        """Room for an input of this form."""
        return Activation(torch.empty(tokens, width, dtype=self.dtype), self)


class Activation(NamedTuple):
    """An input of a matrix product, filled or to be filled."""

    values: Tensor
    form: Form


class Kernels(Protocol):
    """All tensors are contiguous and on the CPU; T tokens of B packed samples, hidden size H."""

    name: str

    def embed(self, ids: tuple[Tensor, Tensor, Tensor], tables: Tables, norm: Norm, to: Activation | None) -> Tensor:
        """LayerNorm of the summed embeddings of (input, token type, position) ids, int64 [T] each.

        Returns float32 [T, H], the stream that layers add to; `to` gets the same in its own form.
        """

    def add_norm(self, projected: Tensor, stream: Tensor, norm: Norm, to: Activation | None) -> None:
        """stream = LayerNorm(stream + projected), in place; `to` gets the same in its own form.

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
