"""Caches arrays on disk under a key of everything that they were built from; no pickle.

An entry is a directory of .npy files, which gets its name once it is complete. The name is a hash of the content of
every input and of the code that builds the entry. An entry holds the sha256 of its files, which are small: it is
compared with what is read whenever it is read, and an entry that does not match is built again.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from foundation import atomic_write
from foundation.array_files import parse_array
from foundation.bounded_readers import UnreadableError, read_bytes, read_text
from qsl.base import DatasetError, Features
from qsl.data_file import DataFile

Arrays = dict[str, npt.NDArray[Any]]
Contents = dict[str, bytes]  # of the files of an entry, by field
DEFAULT_CACHE_DIR = Path("~/.cache/mlperf-bert-sut")
_SUMS = "SHA256SUMS"  # of an entry's files
_MOST_SUMS_BYTES = 1 << 16
FEATURES = ("input_ids", "token_type_ids", "offsets")  # the fields of every entry; a task may add its own


class Stored(NamedTuple):
    """The arrays of an entry; its directory, None if it could not be written; and the digest of its FEATURES."""

    arrays: Arrays
    directory: Path | None
    digest: str = ""


@dataclass(frozen=True)
class FeatureFiles:
    """The location of cached features, small enough to send to every process that reads them."""

    directory: Path
    samples: int
    tokens: int
    digest: str  # sha256 over the files of FEATURES

    def open(self) -> Features:
        """The features, in memory: a file that another program cuts would kill a process that has it mapped.

        Raises:
            DatasetError: the files are missing, or others than those that this run started with.
        """
        contents = _read(self.directory, FEATURES)
        arrays = _arrays(contents) if contents and _digest(contents) == self.digest else None
        if arrays is None:
            raise DatasetError(
                f"expected {self.samples} samples of {self.tokens} tokens in {self.directory}, found other files or "
                "none: the cache was changed after this run started. Run again."
            )
        return Features(**arrays)


def key(*parts: object) -> str:
    """The hexadecimal name of an entry: a hash of the content of files and of the `repr` of everything else.

    Raises:
        DatasetError: a file cannot be read.
    """
    sha = hashlib.sha256()
    for part in parts:
        file = DataFile(part, "a file", "--dataset") if isinstance(part, Path) else part
        sha.update(bytes.fromhex(file.sha256) if isinstance(file, DataFile) else repr(part).encode())
        sha.update(b"\0")
    return sha.hexdigest()[:32]


def cached(cache_dir: Path, name: str, fields: Collection[str], build: Callable[[], Arrays]) -> Stored:
    """The entry `name` with its `fields`, read-only, after it is built and written if it is not complete or damaged.

    If the cache cannot be written, the arrays are in memory only.
    """
    entry = cache_dir.expanduser() / name
    contents = _read_checked(entry, fields)
    arrays = _arrays(contents) if contents else None
    if contents and arrays:
        return Stored(arrays, entry, _digest(contents))
    if _is_there(entry):
        print(f"the cached features in {entry} are damaged: building them again", file=sys.stderr)
    arrays = build()
    contents = {field: _content(array) for field, array in arrays.items()}
    try:
        _write(entry, contents)
    except OSError:
        return Stored(arrays, None)
    return Stored(arrays, entry, _digest(contents))


def _is_there(entry: Path) -> bool:
    with suppress(OSError):  # a cache that is closed to this user
        return entry.exists()
    return False


def _read_checked(entry: Path, fields: Collection[str]) -> Contents | None:
    """The files of an entry; None if one is missing or is not what was written."""
    contents = _read(entry, fields)
    try:
        is_intact = contents and read_text(entry / _SUMS, _MOST_SUMS_BYTES) == _sums(contents)
    except UnreadableError:
        return None
    return contents if is_intact else None


def _read(entry: Path, fields: Collection[str]) -> Contents | None:
    """The content of each field's file; None if there is none."""
    try:
        return {field: read_bytes(path := _path(entry, field), path.stat().st_size) for field in fields}
    except (OSError, UnreadableError):
        return None


def _path(entry: Path, field: str) -> Path:
    return entry / f"{field}.npy"


def _content(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _sums(contents: Contents) -> str:
    """sha256 of each file, in the form of sha256sum."""
    return "".join(f"{hashlib.sha256(contents[field]).hexdigest()}  {field}.npy\n" for field in sorted(contents))


def _digest(contents: Contents) -> str:
    sha = hashlib.sha256()
    for field in FEATURES:
        sha.update(contents[field])
    return sha.hexdigest()


def _arrays(contents: Contents) -> Arrays | None:
    """The arrays, read-only; None if they are no features, whatever their digest: kernels index memory by them."""
    try:
        found = {field: parse_array(content) for field, content in contents.items()}
    except UnreadableError:
        return None
    for array in found.values():
        array.flags.writeable = False
    return found if _are_features(*(found[field] for field in FEATURES)) else None


def _are_features(ids: npt.NDArray[Any], types: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> bool:
    """Whether they have the types and shapes of `Features`, and offsets that rise from 0 to the number of tokens."""
    if not (ids.dtype == types.dtype == np.int32 and offsets.dtype == np.int64):
        return False
    if not (ids.shape == types.shape == (ids.size,) and offsets.ndim == 1 and offsets.size):
        return False
    return bool(offsets[0] == 0 and offsets[-1] == ids.size and (np.diff(offsets) > 0).all())


def _write(entry: Path, contents: Contents) -> None:
    """Write the files, which are not synced to disk: their digests are compared whenever they are read."""
    with atomic_write.replacing_directory(entry, lambda found: _read_checked(found, contents) == contents) as directory:
        for field, content in contents.items():
            _path(directory, field).write_bytes(content)
        (directory / _SUMS).write_text(_sums(contents), encoding="utf-8")
