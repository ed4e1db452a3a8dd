"""tf.Example in protocol buffers' wire format, read and written without the library: whole batches of lists of numbers.

An Example is a message of one map: of the name of a feature to a list, here of whole numbers as varints or of floats.
Where a list lies is found record by record; its numbers are decoded for all records of a batch at once.

    Example {1: Features {1: entry {1: name, 2: Feature {2: FloatList {1: …} | 3: Int64List {1: …}}}, 1: entry …}}

Source: https://protobuf.dev/programming-guides/encoding and tensorflow/core/example/{example,feature}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from foundation.arrays import Int64
from training.shards.errors import ShardError

FLOATS, INTEGERS = 2, 3  # fields of a Feature
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5  # wire types
_MOST_VARINT = 10  # bytes of 64 bits


class Values(NamedTuple):
    """A list in a record: its kind, and its numbers as they are encoded."""

    kind: int
    content: bytes


def parse(record: bytes) -> dict[str, Values]:
    """The lists of an Example by name; the last of a name counts. Raises ShardError for what is none."""
    try:
        return dict(_entry(record, start, stop) for start, stop in _entries(record))
    except (IndexError, ValueError) as error:
        if isinstance(error, ShardError):
            raise
        raise ShardError(f"expected a tf.Example, found other bytes ({error})") from error


def find(record: bytes, name: str) -> Values:
    """One list of a record, without parsing the others. Raises ShardError."""
    key = _field(1, name.encode()) + bytes([2 << 3 | _LENGTH])
    at = record.find(key)
    if at < 0 or record.find(key, at + 1) >= 0:  # written in another way, or its bytes are somewhere else too
        return parse(record).get(name, Values(INTEGERS, b""))
    try:
        size, start = read_varint(record, at + len(key))
        return _feature(record, start, start + size)
    except (IndexError, ValueError) as error:
        raise ShardError(f"expected a tf.Example, found other bytes ({error})") from error


def integers(lists: Sequence[Values], name: str) -> tuple[Int64, Int64]:
    """The numbers of all lists, one after the other, and how many each has. Raises ShardError."""
    _require_kind(lists, INTEGERS, f"whole numbers in {name}")
    content = np.frombuffer(b"".join(values.content for values in lists), np.uint8)
    bytes_of_lists = np.array([len(values.content) for values in lists], np.int64)
    if content.max(initial=0) < 128:  # one byte each: masks, segments, labels
        return content.astype(np.int64), bytes_of_lists
    last = np.flatnonzero(content < 128)
    sizes = np.diff(last, prepend=-1)
    ends = np.cumsum(bytes_of_lists)
    counts = np.diff(np.searchsorted(last, ends), prepend=0)
    is_whole = content[ends[bytes_of_lists > 0] - 1] < 128
    if not is_whole.all() or sizes.max(initial=0) > _MOST_VARINT:
        raise ShardError(f"expected numbers of 64 bits in {name}, found others")
    return _decoded(content, last - sizes + 1, sizes), counts


def floats(lists: Sequence[Values], name: str) -> tuple[npt.NDArray[np.float32], Int64]:
    """As `integers`, of floats."""
    _require_kind(lists, FLOATS, f"floats in {name}")
    sizes = np.array([len(values.content) for values in lists], np.int64)
    if (sizes % 4).any():
        raise ShardError(f"expected floats of 4 bytes in {name}, found others")
    return np.frombuffer(b"".join(values.content for values in lists), "<f4"), sizes // 4


def encode_integers(values: npt.NDArray[Any]) -> list[bytes]:
    """The rows of an array of numbers from 0 on, [N, width], as lists: packed varints."""
    flat = values.reshape(-1)
    sizes = np.ones(flat.size, np.int64)
    for bits in range(7, 63, 7):
        sizes += flat >= 1 << bits
    ends = np.concatenate([[0], np.cumsum(sizes)])
    found = np.zeros(ends[-1], np.uint8)
    for place in range(int(sizes.max(initial=0))):
        has = sizes > place
        rest = (flat[has] >> 7 * place) & 127
        found[ends[:-1][has] + place] = rest | (sizes[has] > place + 1) * 128
    content, bounds = found.tobytes(), ends[np.arange(values.shape[0] + 1) * values.shape[1]].tolist()
    return [content[start:stop] for start, stop in pairwise(bounds)]


def encode(lists: Mapping[str, Values]) -> bytes:
    """An Example of these lists, in their order."""
    entries = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _field(values.kind, _field(1, values.content))))
        for name, values in lists.items()
    )
    return _field(1, entries)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _entries(record: bytes) -> Iterator[tuple[int, int]]:
    """Where the entries of the map are."""
    for number, kind, start, stop in fields(record, 0, len(record)):
        if (number, kind) == (1, _LENGTH):
            for inner, inner_kind, inner_start, inner_stop in fields(record, start, stop):
                if (inner, inner_kind) == (1, _LENGTH):
                    yield inner_start, inner_stop


def _entry(record: bytes, start: int, stop: int) -> tuple[str, Values]:
    name, found = "", Values(INTEGERS, b"")
    for number, kind, inner_start, inner_stop in fields(record, start, stop):
        if (number, kind) == (1, _LENGTH):
            name = record[inner_start:inner_stop].decode()
        elif (number, kind) == (2, _LENGTH):
            found = _feature(record, inner_start, inner_stop)
    return name, found


def _feature(record: bytes, start: int, stop: int) -> Values:
    """The list of a Feature; its numbers may be packed into one field, or one in each."""
    found = Values(INTEGERS, b"")
    for number, kind, inner_start, inner_stop in fields(record, start, stop):
        if kind == _LENGTH:
            pieces = [
                record[first:last] for inner, _, first, last in fields(record, inner_start, inner_stop) if inner == 1
            ]
            found = Values(number, pieces[0] if len(pieces) == 1 else b"".join(pieces))
    return found


def fields(record: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type and place of each field of a message; of a varint, the place of the varint itself."""
    while at < stop:
        tag, at = read_varint(record, at)
        kind, end = tag & 7, at
        if kind == _LENGTH:
            size, at = read_varint(record, at)
            end = at + size
        elif kind == _VARINT:
            _, end = read_varint(record, at)
        elif kind in (_FOUR, _EIGHT):
            end = at + (4 if kind == _FOUR else 8)
        else:
            raise ValueError(f"wire type {kind}")
        if end > stop:
            raise ValueError("a field beyond its message")
        yield tag >> 3, kind, at, end
        at = end


def read_varint(record: bytes, at: int) -> tuple[int, int]:
    byte = record[at]
    if byte < 128:
        return byte, at + 1
    value = shift = 0
    for place in range(at, at + _MOST_VARINT):
        value |= (record[place] & 127) << shift
        if record[place] < 128:
            return value, place + 1
        shift += 7
    raise ValueError("a number of more than 64 bits")


def _require_kind(lists: Sequence[Values], kind: int, expected: str) -> None:
    if any(values.kind != kind for values in lists):
        raise ShardError(f"expected {expected}, found a list of another kind")


def _decoded(content: npt.NDArray[np.uint8], starts: Int64, sizes: Int64) -> Int64:
    found = (content[starts] & 127).astype(np.uint64)
    for place in range(1, int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > place)
        found[longer] |= (content[starts[longer] + place] & 127).astype(np.uint64) << np.uint64(7 * place)
    return found.view(np.int64)
