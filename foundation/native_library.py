"""Opens a library of plain C functions that was built with the package (setup.py).

One that is cut short, or was built from other sources than those next to it, is refused: what it would read and compute
is undefined. A wheel brings no sources, so there is nothing to compare.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundation import installation

_ELF_HEAD = struct.Struct("<40x Q 10x H H 2x")  # of 64 bits: place, size and number of the section headers


refused: list[str] = []  # by this process, and why


class Function(NamedTuple):
    """The types of a C function: ctypes' own, or structures; a result of None is void."""

    arguments: Sequence[Any]
    result: Any = None


def load(module: str, functions: Mapping[str, Function]) -> ctypes.CDLL | None:
    """The library that `setup.py` builds under this name; None if it was not built, or its `runs_here` says no.

    None too, with one line on stderr for all libraries of this process, if it cannot be used.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    try:
        library = open_library(Path(spec.origin), functions)
    except OSError as error:
        _say_refused(f"{Path(spec.origin).name.partition('.')[0]}: {error}")
        return None
    return library if "runs_here" not in functions or library.runs_here() else None


def _say_refused(why: str) -> None:
    """One line for the first; whatever befell one, such as an update, befell others, and one command mends all."""
    if not refused:
        todo = installation.build_again()
        print(f"native libraries cannot be used ({why}), so slower code runs. Type: {todo}", file=sys.stderr)
    refused.append(why)


def open_library(path: Path, functions: Mapping[str, Function]) -> ctypes.CDLL:
    """Map a library and declare its functions.

    Raises:
        OSError: it is no library, is cut short, lacks one of the functions, or was built from other sources.
    """
    _check_length(path)
    library = ctypes.CDLL(str(path))
    for name, (arguments, result) in {**functions, "built_from": Function((), ctypes.c_char_p)}.items():
        if not hasattr(library, name):
            raise OSError(f"it has no {name}")
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    _check_sources(path.parent, library.built_from().decode())
    return library


def _check_sources(folder: Path, built_from: str) -> None:
    """`built_from`: "name=hash name=hash", the first 16 digits of each source's SHA-256."""
    for name, digest in (one.split("=") for one in built_from.split()):
        source = folder / name
        if source.exists() and hashlib.sha256(source.read_bytes()).hexdigest()[:16] != digest:
            raise OSError(f"it was built from another {source.name}")


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
