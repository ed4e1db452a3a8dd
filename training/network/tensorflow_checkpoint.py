"""Checkpoints of TensorFlow, read without TensorFlow: `model.ckpt-28252.index` and its `.data-00000-of-00001`.

The index is a table in LevelDB's form, sorted keys in blocks with a CRC each: the name of a tensor → a BundleEntryProto
with its type, shape and place in a data file, where it lies as plain little-endian values. Sources: TensorFlow's
tensor_bundle.proto and tensor_bundle.h; LevelDB's doc/table_format.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.errors import BackendError
from foundation.bounded_readers import UnreadableError, read_bytes, require_regular
from training.shards.crc32c import masked_crc32c
from training.shards.tf_example import fields, read_varint

SUFFIX = ".index"
_INDEX_BYTES = 64 << 20  # at most; BERT-Large's has 40 kB
_MAGIC = 0xDB4775248B80FB57
_FOOTER, _TRAILER = 48, 5  # bytes: at the end of the table; after each block, its compression and its CRC
_DTYPES: dict[int, type[np.generic]] = {1: np.float32, 2: np.float64, 19: np.float16}  # TensorFlow's number → the type
# Part of a name → ours; with it the last part of a matrix of a linear layer is stored transposed.
_PARTS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "output_weights": "weight", "output_bias": "bias"}
_TABLES = re.compile(r"_embeddings$")
_MODEL = re.compile(r"(bert|cls)/")
_STATE = re.compile(r"/(adam|lamb)_[mv](_\d+)?$")  # of an optimizer
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies, as BundleEntryProto has it."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0


def index_of(path: Path) -> Path | None:
    """The index of the checkpoint at `path`: a directory with one, the index itself, or its name without suffix."""
    if path.is_dir():
        found = sorted(path.glob(f"*{SUFFIX}"))
        return found[0] if len(found) == 1 else None
    if path.name.endswith(SUFFIX):
        return path
    neighbour = path.with_name(path.name + SUFFIX)
    return neighbour if neighbour.is_file() else None


def read(index: Path) -> dict[str, Array]:
    """The tensors of a BERT under Hugging Face's names, an optimizer's left in the file.

    Raises:
        BackendError: the checkpoint is damaged, a file of it is missing, or a tensor is of another type.
    """
    try:
        table = read_bytes(index, _INDEX_BYTES)
        entries = dict(_entries(table))
        shards = _header(entries.pop(b"", b""))
        found = {name.decode(): _entry(value) for name, value in entries.items()}
        return dict(
            _named(name, _tensor(index, shards, name, entry))
            for name, entry in found.items()
            if _MODEL.match(name) and not _STATE.search(name)
        )
    except UnreadableError as error:
        raise _damaged(index, str(error)) from error
    except (ValueError, IndexError, struct.error, OverflowError) as error:
        raise _damaged(index, f"one cut short or broken ({error})") from error


def _damaged(index: Path, found: str) -> BackendError:
    return BackendError(
        f"expected a checkpoint of TensorFlow, {index} and its data files, found: {found}. Copy or fetch it again."
    )


def _named(name: str, tensor: Array) -> tuple[str, Array]:
    """Hugging Face's name, and the tensor as it is there: a linear layer is [outputs, inputs]."""
    *parts, last = re.sub(r"layer_(\d+)", r"layer/\1", name).split("/")
    if name == "cls/predictions/output_bias":
        return "cls.predictions.bias", tensor
    if _TABLES.search(last):
        return ".".join([*parts, last, "weight"]), tensor
    return ".".join([*parts, _PARTS.get(last, last)]), tensor.T if last == "kernel" else tensor


def _tensor(index: Path, shards: int, name: str, entry: _Entry) -> Array:
    if entry.dtype not in _DTYPES:
        raise UnreadableError(f"values of type {entry.dtype} as {name!a}, none of float32, float64 and float16")
    dtype = np.dtype(_DTYPES[entry.dtype]).newbyteorder("<")
    if entry.size != int(np.prod(entry.shape, dtype=object)) * dtype.itemsize:
        raise UnreadableError(f"{entry.size} bytes as {name!a} of shape {entry.shape}")
    data = index.with_name(f"{index.name.removesuffix(SUFFIX)}.data-{entry.shard:05}-of-{shards:05}")
    content = _piece(data, entry)
    if masked_crc32c(content) != entry.crc:
        raise UnreadableError(f"another checksum of {name!a} in {data.name}")
    return np.frombuffer(content, dtype).reshape(entry.shape)


def _piece(data: Path, entry: _Entry) -> bytes:
    if require_regular(data) < entry.offset + entry.size:
        raise UnreadableError(f"{data.name} cut short")
    with data.open("rb") as file:
        file.seek(entry.offset)
        return file.read(entry.size)


def _header(value: bytes) -> int:
    """The number of data files, of BundleHeaderProto."""
    numbers = {
        number: read_varint(value, start)[0] for number, kind, start, _ in fields(value, 0, len(value)) if not kind
    }
    if numbers.get(2):
        raise UnreadableError("big-endian values")
    return numbers.get(1, 1)


def _entry(value: bytes) -> _Entry:
    names = {1: "dtype", 3: "shard", 4: "offset", 5: "size"}
    found: dict[str, Any] = {}
    for number, kind, start, stop in fields(value, 0, len(value)):
        if number == 2:
            found["shape"] = tuple(_dimensions(value, start, stop))
        elif number == 6:
            found["crc"] = int.from_bytes(value[start:stop], "little")
        elif number == 7:
            raise UnreadableError("a tensor in slices")
        elif number in names and not kind:
            found[names[number]] = read_varint(value, start)[0]
    return _Entry(**found)


def _dimensions(value: bytes, start: int, stop: int) -> Iterator[int]:
    """The sizes in a TensorShapeProto."""
    for number, _, first, last in fields(value, start, stop):
        if number == 2:
            sizes = [read_varint(value, at)[0] for inner, _, at, _ in fields(value, first, last) if inner == 1]
            yield sizes[0] if sizes else 0


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table, in order."""
    if len(table) < _FOOTER or int.from_bytes(table[-8:], "little") != _MAGIC:
        raise UnreadableError("no table of TensorFlow's")
    at = len(table) - _FOOTER
    for _ in range(2):  # the place of the block about blocks: two numbers that are skipped
        _, at = read_varint(table, at)
    for _, place in _block(table, at):
        yield from _block(table, 0, place)


def _block(table: bytes, at: int, place: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
    """The entries of the block whose offset and size are two varints, at `at` of the table, or `place`."""
    source = table if place is None else place
    offset, at = read_varint(source, at)
    size, _ = read_varint(source, at)
    block, trailer = table[offset : offset + size], table[offset + size : offset + size + _TRAILER]
    if len(block) < 4 or len(trailer) < _TRAILER:
        raise UnreadableError("a block beyond the end of the table")
    if masked_crc32c(block + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise UnreadableError("another checksum of a block")
    if trailer[0]:
        raise UnreadableError("a compressed block")
    (restarts,) = struct.unpack("<I", block[-4:])
    at, end, key = 0, len(block) - 4 * (restarts + 1), b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        length, at = read_varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length
