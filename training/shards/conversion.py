"""Instances written in any form: one file a part, or all of a data set in a number of shards of equal size.

NVIDIA's chopper makes 2,048 shards that differ by one instance and means to give the smaller size to the first ones; it
gives it to all of them and drops the rest, up to 2,047 instances. Here the first ones are smaller, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foundation.arrays import Int32, Int64
from training.shards import evaluation_set, hdf5, mapped, shard_file, tfrecord
from training.shards.data_set import DataSet, Metadata, Progress
from training.shards.errors import ShardError
from training.shards.instances import Instances, InstanceSource
from training.shards.shard_file import ShardEntry


@dataclass(frozen=True)
class Writer:
    """How a form names a part and writes it."""

    name: Callable[[int, int], str]  # of a part: its number, of how many
    write: Callable[[Path, InstanceSource, Metadata], ShardEntry | None]


def _write_mapped(path: Path, source: InstanceSource, _: Metadata) -> ShardEntry:
    instances = source if isinstance(source, Instances) else source.take(np.arange(len(source)))
    return shard_file.write_shard(path, instances)


def _write_hdf5(path: Path, source: InstanceSource, metadata: Metadata) -> None:
    hdf5.write_file(path, source, metadata.max_seq_length, metadata.max_predictions)


def _write_tfrecord(path: Path, source: InstanceSource, metadata: Metadata) -> None:
    tfrecord.write_file(path, source, metadata.max_seq_length, metadata.max_predictions)


# What a user types → how it is written.
WRITERS: Mapping[str, Writer] = {
    "mapped": Writer(mapped.shard_name, _write_mapped),
    "hdf5": Writer(lambda number, of: f"part_{number}_of_{of}.hdf5", _write_hdf5),
    "tfrecord": Writer(lambda number, of: f"part-{number:05}-of-{of:05}", _write_tfrecord),
}


@dataclass(frozen=True)
class Selection:
    """An `InstanceSource` of some rows of another."""

    source: InstanceSource
    rows: Int64

    def __len__(self) -> int:
        """Number of instances."""
        return self.rows.size

    def lengths_of(self, rows: Int64) -> Int32:
        """Tokens of each of these instances."""
        return self.source.lengths_of(self.rows[rows])

    def take(self, rows: Int64) -> Instances:
        """These instances, in this order."""
        return self.source.take(self.rows[rows])


def convert(
    source: DataSet,
    folder: Path,
    form: str,
    shards: int = 1,
    *,
    definition: str | None = None,
    samples: int = 0,
    progress: Progress = lambda *_: None,
) -> None:
    """Write a data set in a form of WRITERS, which appears at `folder` when it is complete.

    Args:
        shards: files of equal size, but for one instance.
        definition: of `evaluation_set.DEFINITIONS`: `samples` evaluation samples alone; None: everything.

    Raises:
        ShardError: there are fewer instances than shards or samples, something is at `folder`, or an instance is
            damaged.
        ShardWriteError: a file could not be written; nothing is left.
    """
    chosen, metadata = np.arange(len(source)), source.metadata
    if definition is not None:
        chosen = evaluation_set.rows(definition, len(source), samples)
        metadata = replace(metadata, evaluation=evaluation_set.in_words(definition, len(source), samples))
    bounds = np.cumsum([0, *shard_sizes(len(chosen), shards)]).tolist()
    writer = WRITERS[form]
    with mapped.new_data_set(folder) as temporary:
        entries = []
        for number in range(shards):
            progress(bounds[number], bounds[-1])
            part = Selection(source, chosen[bounds[number] : bounds[number + 1]])
            entries.append(writer.write(temporary / writer.name(number, shards), part, metadata))
        if listed := [entry for entry in entries if entry]:
            mapped.seal(temporary, metadata, listed)


def shard_sizes(instances: int, shards: int) -> list[int]:
    """Instances of each shard: they differ by one at most, and the first ones are smaller. Raises ShardError."""
    if not 0 < shards <= instances:
        raise ShardError(f"expected 1 to {instances:,} shards for {instances:,} instances, found {shards:,}")
    most = -(-instances // shards)
    smaller = shards * most - instances
    return [most - 1] * smaller + [most] * (shards - smaller)
