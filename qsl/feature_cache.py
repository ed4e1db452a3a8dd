"""Arrays on disk, keyed by what they were made from, mapped into memory; no pickle.

An entry is a directory of .npy files, which gets its name when all of it is written. The name is a hash of the content
of every input and of the code that makes the entry; one that does not open is made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foundation import atomic_write
from qsl.base import DatasetError

Arrays = dict[str, npt.NDArray[Any]]
DEFAULT_CACHE_DIR = Path("~/.cache/mlperf-bert-sut")


def key(*parts: object) -> str:
    """Hex name of an entry: a Path counts by its file's content, anything else by its `repr`.

    Raises:
        DatasetError: a file cannot be read.
    """
    sha = hashlib.sha256()
    for part in parts:
        sha.update(_file_digest(part) if isinstance(part, Path) else repr(part).encode())
        sha.update(b"\0")
    return sha.hexdigest()[:32]


def _file_digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise DatasetError(
            f"expected a file at {path}, found: {error.strerror or error}. Check --dataset and --vocab."
        ) from error


def cached(cache_dir: Path, name: str, fields: Collection[str], build: Callable[[], Arrays]) -> Arrays:
    """The entry `name` with its `fields`, mapped read-only; built and written first when it is not there whole.

    A cache that cannot be written costs time, not the run: the built arrays are returned as they are.
    """
    entry = cache_dir.expanduser() / name
    found = _open(entry, fields)
    if found is not None:
        return found
    arrays = build()
    try:
        _write(entry, arrays)
    except OSError:
        return arrays
    return _open(entry, fields) or arrays


def _open(entry: Path, fields: Collection[str]) -> Arrays | None:
    try:
        return {field: np.load(entry / f"{field}.npy", mmap_mode="r", allow_pickle=False) for field in fields}
    except (OSError, ValueError, EOFError):
        return None


def _write(entry: Path, arrays: Arrays) -> None:
    with atomic_write.replacing_directory(entry, lambda found: _open(found, arrays) is not None) as directory:
        for field, array in arrays.items():
            np.save(directory / f"{field}.npy", array, allow_pickle=False)
