"""How queries, keys and values are stored as int8 between their product and an int8 attention.

x = bytes * scale + shift for each channel. Over a head, a query's scale times a key's must be one number, so a channel
with large queries takes that from its keys' scale. What all keys share changes no softmax, and what all values share
comes out of it unchanged, so both are centred first. Values have a scale each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foundation.arrays import Float32

_SMALLEST = 1e-6  # of a range


class QkvRanges(NamedTuple):
    """float32 [3 H] each: queries, keys, values."""

    scale: Float32
    shift: Float32  # of queries: 0

    def tensors(self, prefix: str) -> dict[str, Float32]:
        """Both as an engine's file holds them, by name."""
        return {f"{prefix}.{name}": tensor for name, tensor in self._asdict().items()}


def of_rows(rows: Float32, heads: int) -> QkvRanges:
    """The ranges that hold these outputs of the product, [R, 3 H]."""
    query, key, value = np.split(rows, 3, axis=1)
    (key_shift, key_size), (value_shift, value_size) = _centred(key), _centred(value)
    query_size = np.maximum(np.abs(query).max(0), _SMALLEST)
    both = np.sqrt(query_size * key_size)  # of each channel, once balanced
    step = np.repeat(both.reshape(heads, -1).max(1), both.size // heads) / 127
    scale = np.concatenate([step * query_size / both, step * key_size / both, value_size / 127])
    shift = np.concatenate([np.zeros_like(key_shift), key_shift, value_shift])
    return QkvRanges(scale.astype(np.float32), shift.astype(np.float32))


def _centred(x: Float32) -> tuple[Float32, Float32]:
    """The middle of each channel's range, and how far it reaches from there."""
    low, high = x.min(0), x.max(0)
    return (low + high) / 2, np.maximum((high - low) / 2, _SMALLEST)
