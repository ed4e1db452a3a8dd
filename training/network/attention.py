"""Attention within each sample of a packed batch.

On a CPU, samples of one length that follow each other run as one batch of the padded kernel, without padding.
"""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from training.network.packed_batch import PackedBatch


def attend(qkv: Tensor, batch: PackedBatch, heads: int, dropout: float) -> Tensor:
    """Queries, keys and values [T, 3H] (each H with its heads side by side) → their mixture [T, H]."""
    tokens, width = len(qkv), qkv.shape[1] // 3
    parts, start = [], 0
    for length, same in groupby(batch.lengths):
        count = len(list(same))
        rows = qkv[start : start + count * length].view(count, length, 3, heads, width // heads)
        query, key, value = rows.permute(2, 0, 3, 1, 4)  # [B, heads, S, head] each
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        parts.append(mixed.transpose(1, 2).reshape(count * length, width))
        start += count * length
    return torch.cat(parts).view(tokens, width)
