"""Arrays on disk, keyed by what they were made from, mapped into memory; no pickle.

An entry is a directory of .npy files, written aside and renamed, so that one that exists is whole. The key is a hash
of every input's content, the code that makes the entry among them; one that does not open is made again.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
    entry.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=entry.parent, prefix=f"{entry.name}.tmp"))
    try:
        for field, array in arrays.items():
            np.save(aside / f"{field}.npy", array, allow_pickle=False)
        if _open(entry, arrays) is None:  # else another process has just written it, and may be reading
            shutil.rmtree(entry, ignore_errors=True)
            aside.replace(entry)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
