"""One file of instances in our own form: its arrays, its header, its checksums.

An instance lies in one piece (token ids, masked positions, masked ids), so that a random one costs one page or two, and
has a CRC-32, which is compared whenever it is read: verifying whole files would read everything before the first step.
A file has a sha256 too, over all but its header.

    b"BERTSHRD", version, header's bytes and CRC-32 (3 × uint32), header (JSON), then from a multiple of 64:
    int64 offsets [N + 1] into the data · int32 lengths [N] · int32 first_lengths [N] · uint32 CRC-32 [N] ·
    uint8 is_random_next [N] · from a multiple of 8: data, uint16 or int32; all little-endian
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from foundation import atomic_write, typed_json
from foundation.arrays import Int32, Int64
from foundation.bounded_readers import UnreadableError, parse_json, require_regular
from training.shards.errors import ShardError, writing
from training.shards.instances import Ids, Instances, gathered, offsets_of

Columns = Mapping[str, npt.NDArray[Any]]
AGAIN = "The file is damaged: copy it or make it again."
_MAGIC, _VERSION = b"BERTSHRD", 1
_PREAMBLE = struct.Struct("<8s3I")
_MOST_HEADER = 1 << 16  # bytes
_BLOCK = 4096  # instances at a time: places take four times the memory of what is placed
_CHECKED = ("lengths", "first_lengths", "is_random_next")  # by an instance's CRC-32, before its data


@dataclass(frozen=True, kw_only=True)
class ShardHeader:
    """What a shard holds; the sizes of its arrays follow from it."""

    instances: int
    tokens: int
    masked: int
    id_bytes: int
    longest: int  # tokens of an instance
    most_masked: int
    largest_id: int
    sha256: str

    @property
    def columns(self) -> tuple[tuple[str, np.dtype[Any], int], ...]:
        """Name, type and number of elements of each array, in order."""
        number, ids = self.instances, np.dtype("<u2" if self.id_bytes == 2 else "<i4")
        return (
            ("offsets", np.dtype("<i8"), number + 1),
            ("lengths", np.dtype("<i4"), number),
            ("first_lengths", np.dtype("<i4"), number),
            ("crcs", np.dtype("<u4"), number),
            ("is_random_next", np.dtype("u1"), number),
            ("padding", np.dtype("u1"), -number * 21 % 8),
            ("data", ids, self.tokens + 2 * self.masked),
        )

    @property
    def content_bytes(self) -> int:
        """Of all arrays."""
        return sum(kind.itemsize * number for _, kind, number in self.columns)


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """A shard as `data_set.json` lists it."""

    name: str
    file_bytes: int
    header: ShardHeader


def write_shard(path: Path, instances: Instances) -> ShardEntry:
    """Write instances to one file. Raises ShardError for wrong ones, ShardWriteError."""
    content, header = content_of(instances.check())
    words = json.dumps(typed_json.encode(header)).encode()
    preamble = _PREAMBLE.pack(_MAGIC, _VERSION, len(words), zlib.crc32(words))
    start = start_of(len(words))
    with writing(path), atomic_write.replacing(path) as file:
        file.write((preamble + words).ljust(start, b"\0"))
        for piece in content:
            file.write(piece)
    return ShardEntry(name=path.name, file_bytes=start + header.content_bytes, header=header)


def is_shard(path: Path) -> bool:
    """Whether a file begins like ours."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, UnreadableError):
        return False


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A shard to read; what goes wrong meanwhile is a ShardError."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            yield file
    except (OSError, UnreadableError) as error:
        raise ShardError(f"expected a shard of instances, found {error}") from error


def read_header(descriptor: int) -> tuple[ShardHeader, int]:
    """The header of an open shard, and where its arrays begin."""
    head = os.pread(descriptor, _PREAMBLE.size + _MOST_HEADER, 0)
    if len(head) < _PREAMBLE.size or not head.startswith(_MAGIC):
        raise ShardError(f"expected a shard of instances, found {head[: len(_MAGIC)]!r} at its start")
    _, version, size, crc = _PREAMBLE.unpack_from(head)
    if version != _VERSION:
        raise ShardError(f"expected a shard of version {_VERSION}, found version {version}")
    words = head[_PREAMBLE.size :][:size]
    require_sum("CRC-32 of its header", f"{crc:08x}", f"{zlib.crc32(words):08x}")
    try:
        header = typed_json.decode(ShardHeader, parse_json(words))
    except UnreadableError as error:
        raise ShardError(f"expected a header, found {error}") from error
    start = start_of(size)
    require_bytes(start + header.content_bytes, os.fstat(descriptor).st_size)
    return header, start


def content_of(instances: Instances) -> tuple[list[memoryview], ShardHeader]:
    """The arrays of a shard, one after the other, and its header."""
    columns = _columns_of(instances)
    header = ShardHeader(
        instances=len(instances),
        tokens=instances.token_ids.size,
        masked=instances.masked_ids.size,
        id_bytes=columns["data"].itemsize,
        longest=max(instances.lengths.tolist(), default=0),
        most_masked=max(instances.masked_counts.tolist(), default=0),
        largest_id=max(int(ids.max(initial=0)) for ids in (instances.token_ids, instances.masked_ids)),
        sha256="",
    )
    pieces, sha = [], hashlib.sha256()
    for name, kind, number in header.columns:
        piece = _bytes_of(columns[name] if name in columns else np.zeros(number, kind), kind)
        pieces.append(piece)
        sha.update(piece)
    return pieces, replace(header, sha256=sha.hexdigest())


def _columns_of(instances: Instances) -> Columns:
    lengths, masked_lengths = instances.lengths, instances.masked_counts
    lists = (instances.token_ids, instances.masked_positions, instances.masked_ids)
    bounds = (instances.offsets, instances.masked_offsets, instances.masked_offsets)
    is_wide = max(int(one.max(initial=0)) for one in lists) > np.iinfo(np.uint16).max
    offsets = offsets_of(lengths + 2 * masked_lengths)
    data: Ids = np.empty(offsets[-1], np.int32 if is_wide else np.uint16)
    starts = (np.zeros(len(instances), np.int32), lengths, lengths + masked_lengths)
    for first in range(0, len(instances), _BLOCK):
        rows = slice(first, min(first + _BLOCK, len(instances)))
        for values, bound, start in zip(lists, bounds, starts, strict=True):
            sizes = np.diff(bound[rows.start : rows.stop + 1])
            places, _ = within(offsets[rows.start : rows.stop + 1], start[rows], sizes)
            data[places] = values[bound[rows.start] : bound[rows.stop]]
    found: dict[str, npt.NDArray[Any]]
    found = {"offsets": offsets, "lengths": lengths, "first_lengths": instances.first_lengths, "data": data}
    found["is_random_next"] = instances.is_random_next
    return {**found, "crcs": np.array(list(crcs_of(found, data, offsets)), np.uint32)}


def _bytes_of(array: npt.NDArray[Any], kind: np.dtype[Any]) -> memoryview:
    return np.ascontiguousarray(array, kind).reshape(-1).view(np.uint8).data


def within(offsets: Int64, starts: Int64 | Int32, lengths: Int64 | Int32) -> tuple[Int64, Int64]:
    """Where a part of each piece is in the data, and the offsets of these parts among themselves."""
    ends = offsets_of(lengths)
    return np.repeat(offsets[:-1] + starts - ends[:-1], lengths) + np.arange(ends[-1]), ends


def pieces_of(columns: Columns, rows: Int64) -> tuple[Ids, Int64]:
    """The data of these rows, and the offsets of the rows in it: a slice if they are neighbours."""
    starts, stops = columns["offsets"][rows], columns["offsets"][rows + 1]
    lengths = columns["lengths"][rows]
    rest = stops - starts - lengths
    is_right = (starts >= 0) & (stops <= columns["data"].size) & (lengths > 0) & (rest >= 0) & (rest % 2 == 0)
    if not is_right.all():
        raise ShardError(f"expected instance {rows[is_right.argmin()]} within the file, found it outside. {AGAIN}")
    if len(rows) and (np.diff(rows) == 1).all():
        return columns["data"][starts[0] : stops[-1]], offsets_of(stops - starts)
    places, offsets = gathered(columns["offsets"], rows)
    return columns["data"][places], offsets


def crcs_of(facts: Columns, data: Ids, offsets: Int64) -> Iterator[int]:
    """The CRC-32 of each instance: of its lengths and its kind as int32, then of its data."""
    words = _bytes_of(np.stack([facts[name] for name in _CHECKED], axis=1), np.dtype("<i4"))
    size = 4 * len(_CHECKED)
    content, ends = _bytes_of(data, data.dtype), (offsets * data.itemsize).tolist()
    for number, (start, stop) in enumerate(pairwise(ends)):
        yield zlib.crc32(content[start:stop], zlib.crc32(words[size * number : size * (number + 1)]))


def require_crcs(columns: Columns, rows: Int64, data: Ids, offsets: Int64) -> None:
    facts = {name: columns[name][rows] for name in _CHECKED}
    for row, expected, found in zip(rows, columns["crcs"][rows].tolist(), crcs_of(facts, data, offsets), strict=True):
        require_sum(f"CRC-32 of instance {row}", f"{expected:08x}", f"{found:08x}")


def start_of(header_bytes: int) -> int:
    return -(-(_PREAMBLE.size + header_bytes) // 64) * 64


def size_of(path: Path) -> int:
    try:
        return require_regular(path)
    except UnreadableError as error:
        raise ShardError(f"expected a shard of instances, found {error}") from error


def require_bytes(expected: int, found: int) -> None:
    if expected != found:
        raise ShardError(f"expected {expected:,} bytes, found {found:,}. {AGAIN}")


def require_sum(what: str, expected: str, found: str) -> None:
    if expected != found:
        raise ShardError(f"expected {what} {expected}, found {found}. {AGAIN}")
