"""Attention over packed samples in plain numpy, for the references of every architecture."""

from __future__ import annotations

import numpy as np

from backends.base import Batch
from foundation.arrays import Float32


def attention(qkv: Float32, heads: int, batch: Batch) -> Float32:
    """float32 [T, 3 N], queries, keys and values side by side → [T, N]; each sample attends to its own tokens only."""
    split = qkv.reshape(len(qkv), 3, heads, -1)
    mixed = [_attend(split[start:stop]) for start, stop in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False)]
    return np.concatenate(mixed).reshape(len(qkv), -1)


def _attend(sample: Float32) -> Float32:
    """[S, 3, heads, head] → [S, heads, head]."""
    query, key, value = sample.transpose(1, 2, 0, 3)  # each [heads, S, head]
    scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ value).transpose(1, 0, 2)  # type: ignore[no-any-return]
