"""What lies at a path, opened as one data set, whatever its form."""

from __future__ import annotations

from pathlib import Path

from training.shards import mapped
from training.shards.data_set import DataSet
from training.shards.errors import ShardError
from training.shards.shard_file import is_shard


def open_instances(path: Path, vocabulary_size: int | None = None) -> DataSet:
    """The instances at a path: a directory or a file of our own form.

    Args:
        vocabulary_size: ids must be below it; None: what the data set itself says.

    Raises:
        ShardError: there are none, or they are damaged.
    """
    if (path / mapped.INDEX).exists():
        return mapped.open_data_set(path, vocabulary_size)
    if is_shard(path):
        return mapped.open_shard(path, vocabulary_size)
    raise ShardError(f"expected instances for pre-training at {path}, found none")
