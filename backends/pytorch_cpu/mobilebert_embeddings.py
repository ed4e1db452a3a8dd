"""MobileBERT's embeddings over packed tokens: of three words, a position and a type."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from backends.base import Batch
from backends.bert.mobilebert import TRANSFORMATION
from backends.pytorch_cpu.linear import FloatLinear, as_tensor
from backends.quantization.engine_tensors import Arrays

_AT = "mobilebert.embeddings."


class Embeddings(NamedTuple):
    """The tables, and the product that makes a token's vector of three words' vectors; NoNorm's weight is inside."""

    words: Tensor  # in the product's type, [vocabulary, E]
    types: Tensor  # float32 [types, H]
    positions: Tensor  # float32 [positions, H]
    transformation: FloatLinear  # [T, 3 E] → [T, H]

    def __call__(self, batch: Batch, to: Tensor) -> None:
        """Write the normalized sums to `to`, float32 [T, H]."""
        words = self.words[as_tensor(batch.input_ids).long()]
        last, first = as_tensor(batch.cu_seqlens[1:] - 1), as_tensor(batch.cu_seqlens[:-1])
        following, previous = words.roll(-1, 0), words.roll(1, 0)
        following[last], previous[first] = 0, 0  # beyond a sample are zeros
        torch.index_select(self.positions, 0, as_tensor(batch.position_ids), out=to)
        to += self.types[as_tensor(batch.token_type_ids).long()]
        to += self.transformation(torch.cat([following, words, previous], 1))


def embeddings(tensors: Arrays, dtype: torch.dtype) -> Embeddings:
    """The embeddings of a model, with their product in `dtype`."""
    norm, shift = (as_tensor(tensors[f"{_AT}LayerNorm.{part}"]) for part in ("weight", "bias"))
    weight, bias = (as_tensor(tensors[f"{TRANSFORMATION}.{part}"]) for part in ("weight", "bias"))
    words, types, positions = (
        as_tensor(tensors[f"{_AT}{name}_embeddings.weight"]) for name in ("word", "token_type", "position")
    )
    product = FloatLinear(weight * norm[:, None], bias * norm + shift, dtype)
    return Embeddings(words.to(dtype), types * norm, positions * norm, product)
