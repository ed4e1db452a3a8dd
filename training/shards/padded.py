"""Instances with padding, as NVIDIA's HDF5 files and the reference's TFRecords hold them, and without.

Padding is taken off only where it is padding: a mask, segments or a list of masked positions with holes is an error,
because no model would see what the numbers say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from foundation.arrays import Int64
from training.shards.errors import ShardError
from training.shards.instances import Instances, compact, offsets_of

Arrays = Mapping[str, npt.NDArray[Any]]
TOKENS = ("input_ids", "input_mask", "segment_ids")  # [N, max_seq_length]
MASKED = ("masked_lm_positions", "masked_lm_ids")  # [N, max_predictions]
WEIGHTS = "masked_lm_weights"  # likewise, in TFRecords alone
LABELS = "next_sentence_labels"  # [N]


def without_padding(arrays: Arrays, rows: Int64) -> Instances:
    """Instances from arrays with padding.

    Args:
        arrays: TOKENS, MASKED and LABELS; WEIGHTS if there are any, else position 0 ends a list of masked positions.
        rows: the instances' numbers in their file, for messages.

    Raises:
        ShardError: an array has holes or values that are none.
    """
    mask, segments, labels = arrays["input_mask"], arrays["segment_ids"], arrays[LABELS].reshape(-1)
    lengths = _prefixes(mask, "input_mask", rows)
    first_lengths = lengths - segments.sum(axis=1, dtype=np.int64)
    places = np.arange(mask.shape[1])
    is_second = (places >= first_lengths[:, None]) & (places < lengths[:, None])
    _require_rows((segments == is_second).all(axis=1), "segment_ids of 0, then of 1, then padding of 0", rows)
    _require_rows((labels == 0) | (labels == 1), f"{LABELS} of 0 or 1", rows)
    positions = arrays["masked_lm_positions"]
    has_weights = WEIGHTS in arrays
    weights = arrays[WEIGHTS] if has_weights else (positions != 0).astype(np.int8)
    counts = _prefixes(weights, WEIGHTS if has_weights else "masked_lm_positions before a 0", rows)
    is_token, is_masked = places < lengths[:, None], np.arange(weights.shape[1]) < counts[:, None]
    return Instances(
        token_ids=compact(arrays["input_ids"][is_token]),
        offsets=offsets_of(lengths),
        first_lengths=first_lengths.astype(np.int32),
        masked_positions=compact(positions[is_masked]),
        masked_ids=compact(arrays["masked_lm_ids"][is_masked]),
        masked_offsets=offsets_of(counts),
        is_random_next=labels.astype(np.uint8),
    )


def with_padding(instances: Instances, max_seq_length: int, max_predictions: int) -> dict[str, npt.NDArray[Any]]:
    """TOKENS, MASKED, WEIGHTS and LABELS of instances, as int64 and float32.

    Raises:
        ShardError: an instance is longer than `max_seq_length`, or has more masked tokens than `max_predictions`.
    """
    lengths, counts = instances.lengths, instances.masked_counts
    rows = np.arange(len(instances))
    _require_rows(lengths <= max_seq_length, f"at most {max_seq_length} tokens", rows)
    _require_rows(counts <= max_predictions, f"at most {max_predictions} masked tokens", rows)
    places = np.arange(max_seq_length)
    is_token, is_masked = places < lengths[:, None], np.arange(max_predictions) < counts[:, None]
    found: dict[str, npt.NDArray[Any]] = {name: np.zeros(is_token.shape, np.int64) for name in TOKENS}
    found |= {name: np.zeros(is_masked.shape, np.int64) for name in MASKED}
    found["input_ids"][is_token] = instances.token_ids
    found["input_mask"][:] = is_token
    found["segment_ids"][:] = is_token & (places >= instances.first_lengths[:, None])
    found["masked_lm_positions"][is_masked] = instances.masked_positions
    found["masked_lm_ids"][is_masked] = instances.masked_ids
    return {**found, WEIGHTS: is_masked.astype(np.float32), LABELS: instances.is_random_next.astype(np.int64)}


def mask_lengths(mask: npt.NDArray[Any], rows: Int64) -> Int64:
    """Tokens of each instance from its input_mask. Raises ShardError for one with holes."""
    return _prefixes(mask, "input_mask", rows)


def _prefixes(ones: npt.NDArray[Any], name: str, rows: Int64) -> Int64:
    """How many 1 each row of [N, M] begins with; after them there must be 0 alone."""
    counts: Int64 = (ones != 0).sum(axis=1, dtype=np.int64)
    is_right = (ones == (np.arange(ones.shape[1]) < counts[:, None])).all(axis=1)
    _require_rows(is_right, f"{name} of 1, then of 0 to the end", rows)
    return counts


def _require_rows(is_right: npt.NDArray[np.bool_], expected: str, rows: Int64) -> None:
    if not is_right.all():
        raise ShardError(f"expected {expected}, found others in instance {rows[is_right.argmin()]}")
