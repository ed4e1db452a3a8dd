"""Our own form of a data set: a directory of shards that are memory-mapped, 2 bytes a token, no padding.

`data_set.json` lists the shards and says how they were made, so that opening reads one small file. Whatever is read
later is compared with its CRC-32; `verify` compares the sha256 of whole files.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from foundation import atomic_write, typed_json
from foundation.arrays import Int32, Int64
from foundation.bounded_readers import UnreadableError, read_json
from training.shards.data_set import DataSet, Metadata
from training.shards.errors import ShardError, ShardWriteError, naming, writing
from training.shards.instances import Instances
from training.shards.shard_file import (
    Columns,
    ShardEntry,
    ShardHeader,
    opened,
    pieces_of,
    read_header,
    require_bytes,
    require_crcs,
    require_sum,
    size_of,
    within,
    write_shard,
)

FORM = "memory-mapped"
INDEX = "data_set.json"
_FORMAT, _VERSION = "bert-pretraining-instances", 1
_MOST_INDEX = 1 << 26  # bytes
_MOST_OPEN = 512  # shards that stay mapped: each holds a file descriptor; MLPerf has 500 parts
_PIECE = 1 << 24  # bytes that are hashed at a time


@dataclass(frozen=True, kw_only=True)
class DataSetFile:
    """What `data_set.json` holds."""

    format: str
    version: int
    metadata: Metadata
    shards: list[ShardEntry]


@dataclass(frozen=True)
class MappedShard:
    """A `Shard` of our own form."""

    folder: Path
    entry: ShardEntry

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.entry.name

    def __len__(self) -> int:
        """Number of instances."""
        return self.entry.header.instances

    def lengths_of(self, rows: Int64) -> Int32:
        """Tokens of each of these instances."""
        found: Int32 = self._columns()["lengths"][rows].astype(np.int32)
        return found

    def take(self, rows: Int64) -> Instances:
        """These instances, compared with their checksums."""
        columns = self._columns()
        data, offsets = pieces_of(columns, rows)
        lengths, first_lengths = columns["lengths"][rows], columns["first_lengths"][rows]
        require_crcs(columns, rows, data, offsets)
        masked_lengths = (np.diff(offsets) - lengths) // 2
        tokens, token_offsets = within(offsets, np.zeros(len(rows), np.int64), lengths)
        positions, masked_offsets = within(offsets, lengths, masked_lengths)
        ids, _ = within(offsets, lengths + masked_lengths, masked_lengths)
        return Instances(
            token_ids=data[tokens],
            offsets=token_offsets,
            first_lengths=first_lengths.astype(np.int32),
            masked_positions=data[positions],
            masked_ids=data[ids],
            masked_offsets=masked_offsets,
            is_random_next=np.array(columns["is_random_next"][rows]),
        )

    def verify(self) -> None:
        """Compare the sha256 of the whole file."""
        found = hashlib.sha256()
        with naming(self.path), opened(self.path) as file:
            header, start = read_header(file.fileno())
            _require_same(header, self.entry.header)
            file.seek(start)
            while piece := file.read(_PIECE):
                found.update(piece)
            require_sum("sha256", header.sha256, found.hexdigest())

    def _columns(self) -> Columns:
        # A mapped file that was cut kills the process that reads it.
        require_bytes(self.entry.file_bytes, size_of(self.path))
        return _mapped(self.path, self.entry.header)


def open_data_set(folder: Path, vocabulary_size: int | None = None) -> DataSet:
    """The data set in a directory; its shards are looked at, not read. Raises ShardError."""
    path = folder / INDEX
    try:
        found = typed_json.decode(DataSetFile, read_json(path, _MOST_INDEX))
    except UnreadableError as error:
        raise ShardError(f"expected the list of a data set's shards in {path}, found {error}") from error
    if (found.format, found.version) != (_FORMAT, _VERSION):
        raise ShardError(f"expected {_FORMAT} of version {_VERSION} in {path}, found {found.format} of {found.version}")
    size = vocabulary_size or found.metadata.vocabulary_size
    for entry in found.shards:
        with naming(path):
            _require_entry(entry, found.metadata, size)
        with naming(folder / entry.name):
            require_bytes(entry.file_bytes, size_of(folder / entry.name))
    shards = tuple(MappedShard(folder, entry) for entry in found.shards)
    return DataSet(form=FORM, shards=shards, metadata=found.metadata, vocabulary_size=size)


def open_shard(path: Path, vocabulary_size: int | None = None) -> DataSet:
    """One file of our own form as a data set. Raises ShardError."""
    with naming(path), opened(path) as file:
        header, _ = read_header(file.fileno())
        entry = ShardEntry(name=path.name, file_bytes=size_of(path), header=header)
        metadata = Metadata(max_seq_length=header.longest, max_predictions=header.most_masked)
        _require_entry(entry, metadata, vocabulary_size)
    shards = (MappedShard(path.parent, entry),)
    return DataSet(form=FORM, shards=shards, metadata=metadata, vocabulary_size=vocabulary_size)


def shard_name(number: int, of: int) -> str:
    """The name of a data set's shard."""
    return f"part-{number:05}-of-{of:05}.shard"


@contextmanager
def new_data_set(folder: Path) -> Iterator[Path]:
    """A temporary directory for shards, which `folder` becomes when the block ends and `seal` was called.

    Raises:
        ShardError: there is something at `folder`.
        ShardWriteError: a file could not be written; nothing is left.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ShardError(
            f"expected no data set at {folder} yet, found one, or other files. Remove it, or choose another."
        )
    with (
        writing(folder),
        atomic_write.replacing_directory(folder, lambda found: (found / INDEX).is_file()) as temporary,
    ):
        try:
            yield temporary
        except ShardWriteError as error:
            raise ShardWriteError(str(error).replace(str(temporary), str(folder))) from error


def seal(folder: Path, metadata: Metadata, entries: Sequence[ShardEntry]) -> None:
    """Write the list of the shards in `folder`, in their order: it is a data set now.

    Raises:
        ShardError: a shard is not what the metadata say.
        ShardWriteError: it cannot be written.
    """
    for entry in entries:
        _require_entry(entry, metadata, metadata.vocabulary_size)
    found = DataSetFile(format=_FORMAT, version=_VERSION, metadata=metadata, shards=list(entries))
    with writing(folder / INDEX):
        atomic_write.write_text(folder / INDEX, json.dumps(typed_json.encode(found), indent=1) + "\n")


def write_data_set(folder: Path, parts: Sequence[Instances], metadata: Metadata) -> None:
    """Write a data set of one shard a part. Raises ShardError, ShardWriteError."""
    with new_data_set(folder) as temporary:
        names = [shard_name(number, len(parts)) for number in range(len(parts))]
        seal(temporary, metadata, [write_shard(temporary / n, part) for n, part in zip(names, parts, strict=True)])


@lru_cache(maxsize=_MOST_OPEN)
def _mapped(path: Path, expected: ShardHeader) -> Columns:
    """The arrays of a shard, which are read as they are used."""
    with opened(path) as file:
        header, start = read_header(file.fileno())
        _require_same(header, expected)
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    columns, at = {}, start
    for name, kind, number in header.columns:
        columns[name] = np.frombuffer(content, kind, number, at)
        at += kind.itemsize * number
    return columns


def _require_same(header: ShardHeader, listed: ShardHeader) -> None:
    if header != listed:
        raise ShardError(f"expected the shard that {INDEX} lists, found another: {header} instead of {listed}")


def _require_entry(entry: ShardEntry, metadata: Metadata, vocabulary_size: int | None) -> None:
    """Its name stays in the directory, its numbers are possible, and no greater than the metadata's."""
    header = entry.header
    if Path(entry.name).name != entry.name or entry.name.startswith("."):
        raise ShardError(f"expected the name of a file, found {entry.name!a}")
    if min(header.instances, header.tokens, header.masked) < 0 or header.id_bytes not in (2, 4):
        raise ShardError(f"expected a shard's numbers, found {header}")
    limits = (metadata.max_seq_length, metadata.max_predictions)
    if header.longest > limits[0] or header.most_masked > limits[1]:
        raise ShardError(
            f"expected at most {limits[0]} tokens and {limits[1]} masked ones in an instance, "
            f"found {header.longest} and {header.most_masked} in {entry.name}"
        )
    if vocabulary_size is not None and header.largest_id >= vocabulary_size:
        raise ShardError(f"expected token ids below {vocabulary_size}, found {header.largest_id} in {entry.name}")
