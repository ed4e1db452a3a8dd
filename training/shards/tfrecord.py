"""TFRecord files in the form of MLPerf's BERT: a tf.Example an instance, with padding.

    record      uint64 length · masked CRC-32C of that · the Example · masked CRC-32C of it; little-endian
    Example     input_ids, input_mask, segment_ids, masked_lm_positions, masked_lm_ids, next_sentence_labels: int64
                masked_lm_weights: float, 1.0 for a masked token and 0.0 for padding

Only reading a whole file tells where its records are. That is done once: for large files it is kept next to them. The
checksum of a length is compared then, that of a record whenever it is read.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from foundation import atomic_write, file_kinds, file_stamps
from foundation.array_files import parse_array
from foundation.arrays import Int32, Int64
from foundation.bounded_readers import UnreadableError, read_bytes, require_regular
from training.shards import tf_example
from training.shards.crc32c import masked_crc32c
from training.shards.data_set import runs
from training.shards.errors import ShardError, naming, writing
from training.shards.instances import Instances, InstanceSource, blocks
from training.shards.padded import LABELS, MASKED, TOKENS, WEIGHTS, mask_lengths, with_padding, without_padding

FORM = "TFRecord"
_HEAD, _CRC = struct.Struct("<QI"), struct.Struct("<I")
_AROUND = _HEAD.size + _CRC.size  # bytes of a record that are not its content
_LISTS = (*TOKENS, *MASKED, WEIGHTS, LABELS)
_KEPT_FROM = 1 << 26  # bytes of a file from which on its index is kept
_BUFFER = 1 << 20
_AGAIN = "The file is damaged: copy it again."


@dataclass(frozen=True, eq=False)
class TfRecordShard:
    """A `Shard` of TFRecords."""

    path: Path
    offsets: Int64  # [N + 1], of the records in the file
    max_seq_length: int
    max_predictions: int

    def __len__(self) -> int:
        """Number of instances."""
        return self.offsets.size - 1

    def lengths_of(self, rows: Int64) -> Int32:
        """Tokens of each of these instances, from input_mask; the checksums are compared by `take`."""
        name = "input_mask"
        records = [{name: tf_example.find(record, name)} for record in self._records(rows, is_checked=False)]
        return mask_lengths(_matrix(records, name, self.max_seq_length, rows), rows).astype(np.int32)

    def take(self, rows: Int64) -> Instances:
        """These instances, compared with their checksums."""
        records = [tf_example.parse(record) for record in self._records(rows)]
        for row, record in zip(rows.tolist(), records, strict=True):
            _require_lists(record, row)
        widths = {**dict.fromkeys(TOKENS, self.max_seq_length), LABELS: 1}
        arrays = {name: _matrix(records, name, widths.get(name, self.max_predictions), rows) for name in _LISTS}
        return without_padding(arrays, rows)

    def verify(self) -> None:
        """Compare the checksum of every record."""
        with naming(self.path):
            for start in range(0, len(self), 1024):
                for _ in self._records(np.arange(start, min(start + 1024, len(self)))):
                    pass

    def _records(self, rows: Int64, *, is_checked: bool = True) -> Iterator[bytes]:
        """The content of these records, ascending."""
        with _opened(self.path) as file:
            for start, stop in runs(rows):
                bounds = self.offsets[start : stop + 1].tolist()
                content = os.pread(file.fileno(), bounds[-1] - bounds[0], bounds[0])
                for row, (first, last) in enumerate(pairwise(bounds), start):
                    record = content[first - bounds[0] : last - bounds[0]]
                    yield _checked(record, last - first, row) if is_checked else record[_HEAD.size : -_CRC.size]


def open_shard(path: Path) -> TfRecordShard:
    """Find the records of a file, or read where they were found before. Raises ShardError."""
    with naming(path):
        with _opened(path) as file:
            offsets = _kept_index(path)
            if offsets is None:
                offsets = _scan(file)
                _keep_index(path, offsets)
        if offsets.size == 1:
            return TfRecordShard(path, offsets, 0, 0)
        first = tf_example.parse(next(TfRecordShard(path, offsets, 0, 0)._records(np.zeros(1, np.int64))))
        _require_lists(first, 0)
        widths = [int(tf_example.integers([first[name]], name)[1][0]) for name in ("input_ids", "masked_lm_ids")]
        return TfRecordShard(path, offsets, *widths)


def is_tfrecord(path: Path) -> bool:
    """Whether a file begins with a record's length and its checksum."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
    except (OSError, UnreadableError):
        return False
    return len(head) == _HEAD.size and masked_crc32c(head[:8]) == _HEAD.unpack(head)[1]


def write_file(path: Path, source: InstanceSource, max_seq_length: int, max_predictions: int) -> None:
    """Write instances to one file. Raises ShardError for those that are too long, ShardWriteError."""
    with writing(path), atomic_write.replacing(path) as file:
        for block in blocks(source, rows=256):
            for content in _examples(block, max_seq_length, max_predictions):
                head = struct.pack("<Q", len(content))
                file.write(head + _CRC.pack(masked_crc32c(head)) + content + _CRC.pack(masked_crc32c(content)))


def _examples(block: Instances, max_seq_length: int, max_predictions: int) -> Iterator[bytes]:
    arrays = with_padding(block, max_seq_length, max_predictions)
    arrays[LABELS] = arrays[LABELS][:, None]
    weights = [tf_example.Values(tf_example.FLOATS, row.tobytes()) for row in arrays[WEIGHTS].astype("<f4")]
    columns = {
        name: [tf_example.Values(tf_example.INTEGERS, row) for row in tf_example.encode_integers(arrays[name])]
        for name in _LISTS
        if name != WEIGHTS
    }
    columns[WEIGHTS] = weights
    for number in range(len(block)):
        yield tf_example.encode({name: columns[name][number] for name in _LISTS})


def _matrix(records: list[dict[str, tf_example.Values]], name: str, width: int, rows: Int64) -> npt.NDArray[Any]:
    """The lists of this name, [records, width]."""
    lists = [record[name] for record in records]
    values, counts = (tf_example.floats if name == WEIGHTS else tf_example.integers)(lists, name)
    if not (counts == width).all():
        wrong = int((counts != width).argmax())
        raise ShardError(f"expected {width} {name}, found {counts[wrong]} in instance {rows[wrong]}")
    return values.reshape(len(records), width)


def _require_lists(record: dict[str, tf_example.Values], row: int) -> None:
    if missing := [name for name in _LISTS if name not in record]:
        raise ShardError(f"expected {', '.join(missing)} in instance {row}, found {', '.join(record) or 'nothing'}")


def _checked(record: bytes, size: int, row: int) -> bytes:
    """The content of a record."""
    if len(record) != size:
        raise ShardError(f"expected instance {row} of {size} bytes, found {len(record)}. {_AGAIN}")
    content, (expected,) = record[_HEAD.size : -_CRC.size], _CRC.unpack(record[-_CRC.size :])
    if (found := masked_crc32c(content)) != expected:
        raise ShardError(f"expected CRC-32C of instance {row} {expected:08x}, found {found:08x}. {_AGAIN}")
    return content


def _scan(file: BinaryIO) -> Int64:
    """Where each record begins, and where the last one ends."""
    size, at, found = os.fstat(file.fileno()).st_size, 0, [0]
    while at < size:
        head = file.read(_HEAD.size)
        length, crc = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, -1)
        if masked_crc32c(head[:8]) != crc:
            raise ShardError(_no_record(head, at, len(found) - 1))
        at += _AROUND + length
        if at > size:
            raise ShardError(f"expected record {len(found) - 1} to end at byte {at:,}, found {size:,} bytes. {_AGAIN}")
        file.seek(length + _CRC.size, os.SEEK_CUR)  # within the buffer, mostly
        found.append(at)
    return np.array(found, np.int64)


def _no_record(head: bytes, at: int, row: int) -> str:
    if kind := None if at else file_kinds.of(head):
        unpack = ". Type: gunzip FILE, or convert it" if kind == file_kinds.GZIP else ""
        return f"expected TFRecords, found {kind}{unpack}"
    return f"expected the length of record {row} and its CRC-32C at byte {at:,}, found others. {_AGAIN}"


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        require_regular(path)
        with path.open("rb", buffering=_BUFFER) as file:
            yield file
    except (OSError, UnreadableError) as error:
        raise ShardError(f"expected a file of TFRecords, found {error}") from error


def _index_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.index.npy")


def _stamp(path: Path) -> list[int]:
    found = file_stamps.of(path)
    return [found.size, found.modified_ns] if found else []


def _kept_index(path: Path) -> Int64 | None:
    """The offsets, if they are those of this very file."""
    kept = _index_path(path)
    with suppress(UnreadableError, OSError):
        array = parse_array(read_bytes(kept))
        if array.dtype == np.int64 and array.ndim == 1 and array.size > 3 and array[:2].tolist() == _stamp(path):
            return array[3:] if zlib.crc32(array[3:].tobytes()) == array[2] else None
    return None


def _keep_index(path: Path, offsets: Int64) -> None:
    if offsets[-1] >= _KEPT_FROM:
        with suppress(OSError), atomic_write.replacing(_index_path(path)) as file:  # another user's directory
            np.save(file, np.concatenate([[*_stamp(path), zlib.crc32(offsets.tobytes())], offsets]))
