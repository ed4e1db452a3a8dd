"""Thousands of files of instances as one source: rows are numbered through, files are opened when they are read.

Every form is one `Shard` a file, which knows its number of instances and nothing else until it is read, so that a data
set of 500 GB opens in moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from foundation.arrays import Int32, Int64
from training.shards.errors import naming
from training.shards.instances import Instances, InstanceSource, concatenate

Progress = Callable[[int, int], None]  # instances that are done, of how many


class Shard(InstanceSource, Protocol):
    """One file of instances."""

    @property
    def path(self) -> Path:
        """The file."""

    def verify(self) -> None:
        """Read all of it against its checksums, where its form has some. Raises ShardError."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """How instances were made, as far as it is known: other people's forms do not say."""

    max_seq_length: int
    max_predictions: int
    vocabulary_sha256: str | None = None
    vocabulary_size: int | None = None
    dupe_factor: int | None = None
    seed: int | None = None
    masked_lm_prob: float | None = None
    short_seq_prob: float | None = None
    do_lower_case: bool | None = None
    texts: Mapping[str, str] = field(default_factory=dict)  # name → sha256
    evaluation: str | None = None  # which samples of a larger file these are


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """An `InstanceSource` of the instances of all shards, in order.

    What it hands out is checked, against `vocabulary_size` too if that is known.
    """

    form: str  # in words
    shards: tuple[Shard, ...]
    metadata: Metadata
    vocabulary_size: int | None = None

    @cached_property
    def starts(self) -> Int64:
        """Row at which each shard begins, and the number of rows, [shards + 1]."""
        return np.cumsum([0, *map(len, self.shards)], dtype=np.int64)

    def __len__(self) -> int:
        """Number of instances."""
        return int(self.starts[-1])

    def lengths_of(self, rows: Int64) -> Int32:
        """Tokens of each of these instances."""
        found = np.zeros(len(rows), np.int32)
        for shard, where, local in self._dealt(rows):
            with naming(shard.path):
                found[where] = shard.lengths_of(local)
        return found

    def take(self, rows: Int64) -> Instances:
        """These instances, in this order, checked. Raises ShardError, which names the file."""
        order, parts = [np.zeros(0, np.int64)], []
        for shard, where, local in self._dealt(rows):
            with naming(shard.path):
                parts.append(shard.take(local).check(self.vocabulary_size, local))
            order.append(where)
        places = np.concatenate(order)
        joined = parts[0] if len(parts) == 1 else concatenate(parts)
        return joined if (np.diff(places) > 0).all() else joined.take(np.argsort(places))

    def verify(self) -> None:
        """Read every file against its checksums. Raises ShardError."""
        for shard in self.shards:
            shard.verify()

    def _dealt(self, rows: Int64) -> Iterator[tuple[Shard, Int64, Int64]]:
        """Each shard that has some of the rows: their places in `rows`, and their numbers in the shard, ascending."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        first, last = np.searchsorted(self.starts, ascending[[0, -1]], side="right") - 1 if len(rows) else (0, -1)
        bounds = np.searchsorted(ascending, self.starts[first : last + 2])
        for number, start, stop in zip(range(first, last + 1), bounds, bounds[1:], strict=False):
            if start < stop:
                yield self.shards[number], order[start:stop], ascending[start:stop] - self.starts[number]


def runs(rows: Int64) -> Iterable[tuple[int, int]]:
    """Ascending rows as ranges of neighbours, each read at once: start, and the one after its last."""
    if not len(rows):
        return ()
    ends = np.flatnonzero(np.diff(rows) != 1)
    starts = rows[np.concatenate([[0], ends + 1])]
    stops = rows[np.concatenate([ends, [-1]])] + 1
    return zip(starts.tolist(), stops.tolist(), strict=True)
