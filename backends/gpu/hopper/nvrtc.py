"""NVRTC, CUDA's compiler as a library, through ctypes: source to machine code for compute capability 9.0.

PyTorch's CUDA builds bring NVRTC; nothing else of the CUDA toolkit is needed. Compiled code is kept on disk under a
digest of the source, the options and the compiler's version, because a kernel takes seconds to compile.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from ctypes.util import find_library
from functools import cache
from pathlib import Path

from foundation.atomic_write import write_bytes

OPTIONS = ("--gpu-architecture=sm_90a", "--std=c++17", "--restrict")


class CompilerError(RuntimeError):
    """NVRTC is missing, or rejects a source."""


@cache
def library() -> ctypes.CDLL | None:
    """NVRTC of CUDA 12 or later, from Python's packages or the system; None if there is none."""
    for path in (*_packaged(), find_library("nvrtc")):
        try:
            if isinstance(path, Path):  # NVRTC opens its second library by name; a loaded one is found
                for second in path.parent.glob("libnvrtc-builtins.so.*"):
                    ctypes.CDLL(str(second))
            found = ctypes.CDLL(str(path)) if path else None
        except OSError:
            continue
        if found is not None and version(found) >= (12, 0):
            return found
    return None


def version(found: ctypes.CDLL) -> tuple[int, int]:
    """Such as (13, 0)."""
    major, minor = c_int(), c_int()
    found.nvrtcVersion(byref(major), byref(minor))
    return major.value, minor.value


def _packaged() -> list[Path]:
    """The libraries in nvidia's Python packages, the newest CUDA first."""
    spec = importlib.util.find_spec("nvidia")
    roots = spec.submodule_search_locations if spec else None
    names = ("*/lib/libnvrtc.so.[0-9]*", "*/lib/x86_64/libnvrtc.so.[0-9]*")
    found = [path for root in roots or () for name in names for path in Path(root).glob(name)]
    return sorted(found, key=lambda path: path.name, reverse=True)


def cached_code(source: str, directory: Path | None = None) -> bytes:
    """The machine code of `source`, from the cache in `directory` or compiled.

    Raises:
        CompilerError: NVRTC is missing, or rejects the source.
    """
    found = library()
    if found is None:
        raise CompilerError("expected NVRTC (libnvrtc.so of CUDA 12 or later), found none")
    identity = "\n".join((*OPTIONS, str(version(found)), source))
    path = (directory or cache_directory()) / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.cubin"
    if path.is_file():
        return path.read_bytes()
    code = compiled(found, source)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, code)
    except OSError:
        pass  # a directory that cannot be written costs seconds, not the run
    return code


def cache_directory() -> Path:
    """Where compilers keep kernels of this user; see the XDG base directory specification."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "mlperf-bert-sut" / "kernels"


def compiled(found: ctypes.CDLL, source: str) -> bytes:
    """The machine code of `source`. Raises CompilerError with the compiler's messages."""
    program = c_void_p()
    options = (c_char_p * len(OPTIONS))(*(option.encode() for option in OPTIONS))
    _check(found, found.nvrtcCreateProgram(byref(program), source.encode(), b"gemm.cu", 0, None, None))
    try:
        if found.nvrtcCompileProgram(program, len(OPTIONS), options):
            raise CompilerError(_text(found, program, "ProgramLog").decode(errors="replace"))
        return _text(found, program, "CUBIN")
    finally:
        found.nvrtcDestroyProgram(byref(program))


def _text(found: ctypes.CDLL, program: c_void_p, what: str) -> bytes:
    size = c_size_t()
    _check(found, getattr(found, f"nvrtcGet{what}Size")(program, byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(found, getattr(found, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _check(found: ctypes.CDLL, status: int) -> None:
    if status:
        found.nvrtcGetErrorString.restype = c_char_p
        raise CompilerError(f"NVRTC: {found.nvrtcGetErrorString(status).decode()}")
