"""Samples end to end in one row of tokens: a batch in training, without padding anywhere.

Everything but attention works on tokens, so it sees [T, H]; attention alone reads where a sample ends. Samples of one
length that follow each other need no copy there, so batches are packed by length where their order is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from foundation.arrays import Int64
from training.shards.instances import Instances, offsets_of

_CPU = torch.device("cpu")
_MULTIPLE = 128  # tokens


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

    @cached_property
    def filled(self) -> PackedBatch:
        """With one more sample, of padding, to a multiple of tokens on a GPU: itself elsewhere.

        A GPU's library looks for the best kernel of each size that is new to it, which takes longer than the product.
        """
        tokens = len(self.input_ids)
        missing = -tokens % _MULTIPLE
        if not self.input_ids.is_cuda or not missing:
            return self
        ids, types, positions = (
            F.pad(one, (0, missing)) for one in (self.input_ids, self.token_type_ids, self.position_ids)
        )
        return PackedBatch(
            input_ids=ids,
            token_type_ids=types,
            position_ids=positions,
            cu_seqlens=F.pad(self.cu_seqlens, (0, 1), value=tokens + missing),
            lengths=(*self.lengths, missing),
        )

    @cached_property
    def places(self) -> Tensor:
        """int64 [T], the index of each token among B · S, where each sample has the S tokens of the longest."""
        lengths = np.array(self.lengths)
        starts = np.arange(len(lengths)) * lengths.max()
        return on(self.input_ids.device, np.repeat(starts, lengths) + counted(lengths), np.int64)

    def padded(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """[T, W] → [B, S, W], with `fill` after each sample's tokens."""
        whole = x.new_full((len(self.lengths) * max(self.lengths), x.shape[1]), fill)
        return whole.index_copy(0, self.places, x).view(len(self.lengths), -1, x.shape[1])


@dataclass(frozen=True, kw_only=True)
class PretrainingBatch(PackedBatch):
    """A batch with the labels of masked LM (M masked tokens in all) and of next sentence prediction."""

    masked_index: Tensor  # int64 [M], into the T tokens
    masked_ids: Tensor  # int64 [M], the tokens before they were masked
    is_random_next: Tensor  # int64 [B], 1: the second part comes from another article


def pack_instances(instances: Instances, device: torch.device = _CPU) -> PretrainingBatch:
    """All of `instances` in one batch, the longest first."""
    rows = instances.take(np.argsort(-instances.lengths.astype(np.int64), kind="stable"))
    lengths = rows.lengths.astype(np.int64)
    positions = counted(lengths)

    def put(array: npt.NDArray[Any], dtype: type[np.generic] = np.int64) -> Tensor:
        return on(device, array, dtype)

    return PretrainingBatch(
        input_ids=put(rows.token_ids),
        token_type_ids=put(positions >= np.repeat(rows.first_lengths, lengths)),
        position_ids=put(positions),
        cu_seqlens=put(rows.offsets, np.int32),
        lengths=tuple(lengths.tolist()),
        masked_index=put(rows.masked_positions + np.repeat(rows.offsets[:-1], rows.masked_counts)),
        masked_ids=put(rows.masked_ids),
        is_random_next=put(rows.is_random_next),
    )


def on(device: torch.device, array: npt.NDArray[Any], dtype: type[np.generic]) -> Tensor:
    """`array` as a tensor of `device`; a GPU is not waited for."""
    found = torch.from_numpy(np.ascontiguousarray(array, dtype))
    return found.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else found


def counted(lengths: Int64) -> Int64:
    """Positions from 0 in each of the samples of `lengths` tokens, int64 [T]."""
    return np.arange(lengths.sum()) - np.repeat(offsets_of(lengths)[:-1], lengths)
