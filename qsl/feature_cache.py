"""Caches arrays on disk under a key of everything they were built from, and maps them into memory; no pickle.

An entry is a directory of .npy files, which gets its name once it is complete. The name is a hash of the content of
every input and of the code that builds the entry. An entry holds the sha256 of its files: one that does not match, or
cannot be opened, is built again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from foundation import atomic_write
from qsl.base import DatasetError, Features
from qsl.data_file import DataFile

Arrays = dict[str, npt.NDArray[Any]]
DEFAULT_CACHE_DIR = Path("~/.cache/mlperf-bert-sut")
_SUMS = "SHA256SUMS"  # of an entry's files
FEATURES = ("input_ids", "token_type_ids", "offsets")  # the fields of every entry; a task may add its own


class Stored(NamedTuple):
    """The arrays of an entry, and the directory that they are mapped from; None if they are in memory only."""

    arrays: Arrays
    directory: Path | None


@dataclass(frozen=True)
class FeatureFiles:
    """The location of cached features, small enough to send to every process that reads them."""

    directory: Path
    samples: int
    tokens: int

    def open(self) -> Features:
        """The features, memory-mapped.

        Raises:
            DatasetError: the files are missing, or have another number of samples or tokens.
        """
        arrays = _open(self.directory, FEATURES)
        found = Features(**arrays) if arrays else None
        if found is None or (len(found), len(found.input_ids)) != (self.samples, self.tokens):
            raise DatasetError(
                f"expected {self.samples} samples of {self.tokens} tokens in {self.directory}, found other files or "
                "none: the cache was changed after this run started. Run again."
            )
        return found


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
    """The entry `name` with its `fields`, mapped read-only, after it is built and written if it is not complete.

    If the cache cannot be written, the arrays stay in memory.
    """
    entry = cache_dir.expanduser() / name
    found = _open_checked(entry, fields)
    if found is not None:
        return Stored(found, entry)
    arrays = build()
    try:
        _write(entry, arrays)
    except OSError:
        return Stored(arrays, None)
    written = _open(entry, fields)
    return Stored(written, entry) if written else Stored(arrays, None)


def _open_checked(entry: Path, fields: Collection[str]) -> Arrays | None:
    """The entry; None if a file is missing or is not what was written."""
    try:
        is_intact = (entry / _SUMS).read_text(encoding="utf-8") == _sums(entry, fields)
    except OSError:
        return None
    return _open(entry, fields) if is_intact else None


def _sums(entry: Path, fields: Collection[str]) -> str:
    """sha256 of each file, in the form of sha256sum."""
    names = [f"{field}.npy" for field in sorted(fields)]
    return "".join(f"{hashlib.sha256((entry / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def _open(entry: Path, fields: Collection[str]) -> Arrays | None:
    try:
        return {field: np.load(entry / f"{field}.npy", mmap_mode="r", allow_pickle=False) for field in fields}
    except (OSError, ValueError, EOFError):
        return None


def _write(entry: Path, arrays: Arrays) -> None:
    with atomic_write.replacing_directory(entry, lambda found: _open_checked(found, arrays) is not None) as directory:
        for field, array in arrays.items():
            np.save(directory / f"{field}.npy", array, allow_pickle=False)
        (directory / _SUMS).write_text(_sums(directory, arrays), encoding="utf-8")
