"""Samples end to end in one row of tokens: a batch in training, without padding anywhere.

Everything but attention works on tokens, so it sees [T, H]; attention alone reads where a sample ends. Samples of one
length that follow each other need no copy there, so batches are packed by length where their order is free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from foundation.arrays import Int64


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """B samples with T tokens in all. Tensors are on the device of the network, lengths on the host."""

    input_ids: Tensor  # int64 [T]
    token_type_ids: Tensor  # int64 [T]
    position_ids: Tensor  # int64 [T], from 0 in each sample
    cu_seqlens: Tensor  # int32 [B + 1], where each sample starts, and T
    lengths: tuple[int, ...]  # of each sample

    @property
    def first_tokens(self) -> Tensor:
        """int32 [B], the index of each sample's [CLS]."""
        return self.cu_seqlens[:-1]


@dataclass(frozen=True, kw_only=True)
class PretrainingBatch(PackedBatch):
    """A batch with the labels of masked LM (M masked tokens in all) and of next sentence prediction."""

    masked_index: Tensor  # int64 [M], into the T tokens
    masked_ids: Tensor  # int64 [M], the tokens before they were masked
    is_random_next: Tensor  # int64 [B], 1: the second part comes from another article


def counted(lengths: Int64) -> Int64:
    """Positions from 0 in each of the samples of `lengths` tokens, int64 [T]."""
    return np.arange(lengths.sum()) - np.repeat(_starts(lengths)[:-1], lengths)


def _starts(lengths: Int64) -> Int64:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
