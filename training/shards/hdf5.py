"""HDF5 files in the form of NVIDIA's BERT for MLPerf training v1.0, which FlagPerf reads too.

    input_ids, masked_lm_positions, masked_lm_ids   int32 [N, max_seq_length], [N, max_predictions] (twice)
    input_mask, segment_ids, next_sentence_labels   int8  [N, max_seq_length] (twice), [N]

There are no weights: position 0, which is [CLS], ends a list of masked positions. Where a file is not compressed, its
rows are read from where they lie, without the library, which takes a millisecond to open a file and a lock around every
read; what is compressed goes through it. Files are made in memory and written at once: the library cannot be trusted
with a full disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foundation import atomic_write, installation
from foundation.arrays import Int32, Int64
from foundation.bounded_readers import UnreadableError, require_regular
from training.shards.data_set import runs
from training.shards.errors import ShardError, naming, writing
from training.shards.instances import Instances, InstanceSource, blocks
from training.shards.padded import LABELS, MASKED, TOKENS, mask_lengths, with_padding, without_padding

if TYPE_CHECKING:
    import h5py

FORM = "HDF5"
_MAGIC = b"\x89HDF\r\n\x1a\n"
_TYPES = {
    "input_ids": "<i4",
    "input_mask": "i1",
    "segment_ids": "i1",
    "masked_lm_positions": "<i4",
    "masked_lm_ids": "<i4",
    LABELS: "i1",
}
# What the library raises for damaged files.
_BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
_CHUNK = 128  # instances that are compressed together
_MOST_RATIO = 1100  # of what gzip compresses


@dataclass(frozen=True)
class Column:
    """One data set of a file."""

    kind: np.dtype[Any]
    width: int  # numbers of an instance
    offset: int | None  # where it lies in one piece; None: in pieces, or compressed


@dataclass(frozen=True)
class Hdf5Shard:
    """A `Shard` in HDF5."""

    path: Path
    rows: int
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        """Number of instances."""
        return self.rows

    @property
    def max_seq_length(self) -> int:
        """Tokens of an instance with its padding."""
        return self.columns["input_ids"].width

    @property
    def max_predictions(self) -> int:
        """Masked tokens of an instance with its padding."""
        return self.columns["masked_lm_ids"].width

    def lengths_of(self, rows: Int64) -> Int32:
        """Tokens of each of these instances, from input_mask."""
        with self._reader() as read:
            return mask_lengths(read("input_mask", rows), rows).astype(np.int32)

    def take(self, rows: Int64) -> Instances:
        """These instances; HDF5 files have no checksums."""
        with self._reader() as read:
            return without_padding({name: read(name, rows) for name in _TYPES}, rows)

    def verify(self) -> None:
        """Whether the file is as long as its arrays: there are no checksums to compare."""
        with naming(self.path):
            for name, column in self.columns.items():
                _require_inside(name, column, self.rows, _size(self.path))

    @contextmanager
    def _reader(self) -> Iterator[Callable[[str, Int64], npt.NDArray[Any]]]:
        """A function of a column's name and rows, ascending, to an array of [rows, width]."""
        with ExitStack() as stack, _broken_files():
            file = stack.enter_context(self.path.open("rb"))
            is_plain = all(column.offset is not None for column in self.columns.values())
            library = None if is_plain else stack.enter_context(_opened(self.path))

            def read(name: str, rows: Int64) -> npt.NDArray[Any]:
                column = self.columns[name]
                if column.offset is not None:
                    return _read_raw(file.fileno(), column, rows)
                return _read_pieces(library, name, rows).reshape(len(rows), column.width)

            yield read


def open_shard(path: Path) -> Hdf5Shard:
    """Look at a file's structure, without reading its instances. Raises ShardError."""
    with naming(path):
        size = _size(path)
        with _broken_files(), _opened(path) as file:
            rows, columns = int(file[LABELS].shape[0]), {name: _column(file, name) for name in _TYPES}
        for name, column in columns.items():
            _require_inside(name, column, rows, size)
        for names in (TOKENS, MASKED):
            widths = {columns[name].width for name in names}
            if len(widths) > 1:
                raise ShardError(f"expected one width of {', '.join(names)}, found {sorted(widths)}")
        return Hdf5Shard(path, rows, columns)


def is_hdf5(path: Path) -> bool:
    """Whether a file begins like HDF5."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, UnreadableError):
        return False


def write_file(
    path: Path, source: InstanceSource, max_seq_length: int, max_predictions: int, *, compressed: bool = False
) -> None:
    """Write instances to one file. Raises ShardError for those that are too long, ShardWriteError."""
    h5py = _library()
    widths = {**dict.fromkeys(TOKENS, (max_seq_length,)), **dict.fromkeys(MASKED, (max_predictions,)), LABELS: ()}
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        for name, kind in _TYPES.items():
            chunks = (min(_CHUNK, len(source)), *widths[name])
            options: dict[str, Any] = {"compression": "gzip", "chunks": chunks} if compressed and len(source) else {}
            file.create_dataset(name, (len(source), *widths[name]), kind, **options)
        for number, block in enumerate(blocks(source, _CHUNK)):
            arrays = with_padding(block, max_seq_length, max_predictions)
            for name in _TYPES:
                file[name][number * _CHUNK : (number + 1) * _CHUNK] = arrays[name]
        file.flush()
        content = file.id.get_file_image()
    with writing(path):
        atomic_write.write_bytes(path, content)


def _opened(path: Path) -> h5py.File:
    return _library().File(path, "r", locking=False)  # network file systems have no locks


def _library() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ShardError(f"HDF5 needs h5py, which is not installed. Type: {installation.command('train')}") from error
    return h5py


@contextmanager
def _broken_files() -> Iterator[None]:
    """What the library and the system raise is a ShardError."""
    try:
        yield
    except ShardError:
        raise
    except _BROKEN as error:
        raise ShardError(
            f"expected an HDF5 file with {', '.join(_TYPES)}, found another or a damaged one: {error}"
        ) from error


def _column(file: h5py.File, name: str) -> Column:
    found, is_label = file[name], name == LABELS
    if found.dtype.kind == "O":  # the library ends the process on damaged lists: they are not read
        raise ShardError(f"expected {name} with padding, as in v1.0, found lists of other lengths, as in later rounds")
    is_right = found.ndim == 2 or (is_label and found.ndim == 1)
    if found.dtype.kind not in "iu" or not is_right:
        raise ShardError(f"expected {name} of whole numbers, found {found.dtype} of {found.ndim} dimensions")
    if found.shape[0] != file[LABELS].shape[0] or (is_label and found.size != found.shape[0]):
        raise ShardError(f"expected {file[LABELS].shape[0]} {name}, found {found.shape}")
    return Column(found.dtype, int(np.prod(found.shape[1:], dtype=np.int64)), found.id.get_offset())


def _size(path: Path) -> int:
    try:
        return require_regular(path)
    except UnreadableError as error:
        raise ShardError(f"expected an HDF5 file, found {error}") from error


def _require_inside(name: str, column: Column, rows: int, size: int) -> None:
    """What is in one piece ends in the file; what is compressed is not larger than gzip can make it."""
    expected = rows * column.width * column.kind.itemsize
    most = size * _MOST_RATIO if column.offset is None else size - column.offset
    if expected > most:
        raise ShardError(
            f"expected {expected:,} bytes of {name}, found a file of {size:,}. It is damaged: copy it again."
        )


def _read_pieces(file: h5py.File, name: str, rows: Int64) -> npt.NDArray[Any]:
    parts = [file[name][start:stop] for start, stop in runs(rows)]
    return np.concatenate([np.zeros((0, *file[name].shape[1:]), file[name].dtype), *parts])


def _read_raw(descriptor: int, column: Column, rows: Int64) -> npt.NDArray[Any]:
    """Rows of a column that lies in one piece, [rows, width]."""
    size, offset = column.width * column.kind.itemsize, column.offset or 0
    found = b"".join(os.pread(descriptor, (stop - start) * size, offset + start * size) for start, stop in runs(rows))
    if len(found) != len(rows) * size:
        raise ShardError("expected a whole file, found one that was cut. It is damaged: copy it again.")
    return np.frombuffer(found, column.kind).reshape(len(rows), column.width)
