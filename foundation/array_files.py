"""NumPy's files: a damaged one is an error, whatever numpy's parser of its header raises."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from foundation.bounded_readers import UnreadableError, require_regular

# A header is a Python literal, which numpy parses and evaluates.
_BROKEN = (OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError,
           OverflowError, UserWarning, zipfile.BadZipFile, zlib.error, NotImplementedError)  # fmt: skip


def parse_array(content: bytes) -> npt.NDArray[Any]:
    """The array in the content of a .npy file; objects are refused. Raises UnreadableError."""
    try:
        with warnings.catch_warnings(action="error"):  # numpy mends some headers: ours need no mending
            found: npt.NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except _BROKEN as error:
        raise UnreadableError(f"no array of numbers ({error})") from error
    return found


def read_arrays(path: Path, names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of these names in an .npz file; objects are refused. Raises UnreadableError."""
    require_regular(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except (*_BROKEN, AttributeError) as error:  # AttributeError: it is an .npy file
        raise UnreadableError(f"no arrays {', '.join(names)} ({error})") from error
