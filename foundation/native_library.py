"""Opens a library of plain C functions that was built with the package; one that is cut short is an error."""

from __future__ import annotations

import ctypes
import importlib.util
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_ELF_HEAD = struct.Struct("<40x Q 10x H H 2x")  # of 64 bits: place, size and number of the section headers


class Function(NamedTuple):
    """The types of a C function: ctypes' own, or structures; a result of None is void."""

    arguments: Sequence[Any]
    result: Any = None


def find(module: str) -> Path | None:
    """The file of an extension that `setup.py` builds under this name; None if it was not built."""
    spec = importlib.util.find_spec(module)
    return None if spec is None or spec.origin is None else Path(spec.origin)


def open_library(path: Path, functions: Mapping[str, Function]) -> ctypes.CDLL:
    """Map a library and declare its functions.

    Raises:
        OSError: it is no library, is cut short, or lacks one of the functions.
    """
    _check_length(path)
    library = ctypes.CDLL(str(path))
    for name, (arguments, result) in functions.items():
        if not hasattr(library, name):
            raise OSError(f"it has no {name}")
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library


def _check_length(path: Path) -> None:
    """An ELF file ends with its section headers, so their place says how long it must be; less ends in SIGBUS."""
    with path.open("rb") as file:
        head = file.read(_ELF_HEAD.size)
    if head[:4] != b"\x7fELF":  # of another system: its loader decides
        return
    if len(head) < _ELF_HEAD.size:
        raise OSError("it is cut short")
    offset, size, count = _ELF_HEAD.unpack(head)
    if path.stat().st_size < offset + size * count:
        raise OSError("it is cut short")
