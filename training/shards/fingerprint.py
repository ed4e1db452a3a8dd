"""The sha256 that instances are compared by: of their rows as JSON, in order, each with a newline at its end.

A row is `[input_ids, segment_ids, masked_lm_positions, masked_lm_ids, is_random_next]` without padding, with the
separators "," and ":". The text is put together by NumPy from a table of all numbers, because `json.dumps` makes a
Python object of every token: it takes three times as long.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from foundation.arrays import Int64
from training.shards.instances import Instances, InstanceSource, blocks, offsets_of

_BLOCK = 64  # instances that are hashed at a time: what they need stays in the cache
_FILL = b"\0"  # of a word of the table that is shorter than 8 bytes
_MOST_IN_TABLE = 1 << 17  # numbers; larger ones do not occur in a vocabulary, and take the slow way
# Between the numbers of a row; the row as places in that: before each list, after the last one, and at the end.
_BETWEEN = ("[[", "],[", "],", "]\n")
_ROW_LITERALS = (0, 1, 1, 1, 2, 3)


class Fingerprint:
    """The sha256 of the instances that are added, block by block."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, instances: Instances) -> None:
        """Hash these too."""
        for start in range(0, len(instances), _BLOCK):
            self._sha.update(json_rows(instances.part(start, start + _BLOCK)))

    def hexdigest(self) -> str:
        """Of everything up to now."""
        return self._sha.hexdigest()


def fingerprint(source: InstanceSource) -> str:
    """The sha256 of all instances of a source, in hexadecimal. Raises ShardError for damaged ones."""
    found = Fingerprint()
    for block in blocks(source):
        found.add(block)
    return found.hexdigest()


def json_rows(instances: Instances) -> bytes:
    """The rows as JSON, each with a newline at its end."""
    largest = max((int(ids.max()) for ids in _numbers(instances) if ids.size), default=0)
    if largest >= _MOST_IN_TABLE:
        return "".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in instances.rows()).encode()
    size = 1 << max(largest, 1).bit_length()
    return _table(size)[_codes(instances, size)].tobytes().translate(None, _FILL)


def _numbers(instances: Instances) -> Iterable[npt.NDArray[Any]]:
    return (instances.token_ids, instances.masked_positions, instances.masked_ids)


def _codes(instances: Instances, size: int) -> Int64:
    """The text of the rows as places in the table."""
    lengths, masked = np.diff(instances.offsets), np.diff(instances.masked_offsets)
    starts = offsets_of(2 * lengths + 2 * masked + len(_ROW_LITERALS) + 1)
    codes = np.zeros(starts[-1], np.int64)
    at = starts[:-1]
    tokens, masks = np.arange(instances.token_ids.size), np.arange(instances.masked_ids.size)
    segments = tokens - np.repeat(instances.offsets[:-1], lengths) >= np.repeat(instances.first_lengths, lengths)
    lists = (
        (instances.token_ids, instances.offsets, tokens),
        (segments, instances.offsets, tokens),
        (instances.masked_positions, instances.masked_offsets, masks),
        (instances.masked_ids, instances.masked_offsets, masks),
    )
    for literal, (values, offsets, within) in zip(_ROW_LITERALS, lists, strict=False):
        codes[at] = 2 * size + literal
        counts = np.diff(offsets)
        codes[np.repeat(at + 1 - offsets[:-1], counts) + within] = values
        at = at + 1 + counts
        codes[at[counts > 0] - 1] += size  # the last number of a list has no comma
    codes[at] = 2 * size + _ROW_LITERALS[-2]
    codes[at + 1] = size + instances.is_random_next.astype(np.int64)
    codes[at + 2] = 2 * size + _ROW_LITERALS[-1]
    return codes


@lru_cache
def _table(size: int) -> npt.NDArray[np.uint64]:
    """Words of 8 bytes, [2 * size + 4]: numbers with a comma, numbers without, and what is between them."""
    texts = [*(f"{value}," for value in range(size)), *map(str, range(size)), *_BETWEEN]
    return np.array(texts, "S8").view(np.uint64)
