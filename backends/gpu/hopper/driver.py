"""The few calls of the CUDA driver that a compiled kernel needs, through ctypes, in PyTorch's own context.

Tensor maps and arguments are encoded on the host and copied by the launch, so a launch can be captured in a CUDA graph.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import CDLL, Array, addressof, byref, c_char, c_char_p, c_float, c_int, c_uint, c_uint32, c_uint64, c_void_p
from functools import cache

THREADS = 3 * 128  # three warpgroups
_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8  # of CUfunction_attribute
_PROGRAMMATIC_STREAM_SERIALIZATION = 6  # of CUlaunchAttributeID
_UINT8, _INTERLEAVE_NONE, _SWIZZLE_128B, _FILL_ZEROS = 0, 0, 3, 0
_L2_256_BYTES = 3  # that L2 reads at once
_MAP_BYTES, _MAP_ALIGNMENT = 128, 64
TensorMap = Array[c_char]


@cache
def library() -> CDLL | None:
    """The driver; None on a machine without one."""
    try:
        found = CDLL("libcuda.so.1")
    except OSError:
        return None
    found.cuLaunchKernel.argtypes = (c_void_p, *(c_uint,) * 7, c_void_p, c_void_p, c_void_p)
    found.cuLaunchKernelEx.argtypes = (c_void_p,) * 4
    found.cuGetErrorString.argtypes = (c_int, c_void_p)
    return found


def check(status: int) -> None:
    """Raises RuntimeError with the driver's words, as PyTorch does, for a status other than success."""
    if status:
        text = c_char_p()
        _driver().cuGetErrorString(status, byref(text))
        raise RuntimeError(f"CUDA error: {(text.value or b'unknown').decode()} ({status})")


def loaded(code: bytes, name: str, shared_memory: int) -> c_void_p:
    """The function `name` of compiled `code`, in the current context, which keeps it."""
    module, function = c_void_p(), c_void_p()
    check(_driver().cuModuleLoadData(byref(module), code))
    check(_driver().cuModuleGetFunction(byref(function), module, name.encode()))
    check(_driver().cuFuncSetAttribute(function, _MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_memory))
    return function


def tensor_map(address: int, sizes: Sequence[int], strides: Sequence[int], box: Sequence[int]) -> TensorMap:
    """A map of bytes in device memory, 128-byte swizzle, zeros beyond the end.

    Args:
        address: of the first byte; a multiple of 16.
        sizes: of every dimension, the innermost first.
        strides: bytes between neighbours in every dimension but the innermost; multiples of 16.
        box: what one copy reads of each dimension.
    """
    room = ctypes.create_string_buffer(_MAP_BYTES + _MAP_ALIGNMENT)
    found = (c_char * _MAP_BYTES).from_buffer(room, -addressof(room) % _MAP_ALIGNMENT)
    rank = len(sizes)
    status = _driver().cuTensorMapEncodeTiled(
        found, c_int(_UINT8), c_uint32(rank), c_void_p(address), (c_uint64 * rank)(*sizes),
        (c_uint64 * len(strides))(*strides), (c_uint32 * rank)(*box), (c_uint32 * rank)(*(1,) * rank),
        c_int(_INTERLEAVE_NONE), c_int(_SWIZZLE_128B), c_int(_L2_256_BYTES), c_int(_FILL_ZEROS),
    )  # fmt: skip
    check(status)
    return found


class Arguments:
    """A kernel's arguments in the order of its parameters, as the driver reads them."""

    def __init__(self, *values: c_int | c_float | c_void_p | TensorMap) -> None:
        self._values = values  # must live as long as their addresses
        self.addresses = (c_void_p * len(values))(*map(addressof, values))


def launch(
    function: c_void_p, blocks: int, shared_memory: int, stream: int, arguments: Arguments, threads: int = THREADS
) -> None:
    """Enqueue the kernel on a stream of PyTorch."""
    status = _driver().cuLaunchKernel(
        function, blocks, 1, 1, threads, 1, 1, shared_memory, stream, arguments.addresses, None
    )
    check(status)


class _Attribute(ctypes.Structure):  # CUlaunchAttribute
    _fields_ = (("id", c_int), ("padding", c_int), ("value", c_int), ("rest", c_int * 15))


class _Config(ctypes.Structure):  # CUlaunchConfig
    _fields_ = (
        ("blocks", c_uint * 3),
        ("threads", c_uint * 3),
        ("shared_memory", c_uint),
        ("stream", c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("attribute_count", c_uint),
    )


def launch_early(
    function: c_void_p, blocks: int, threads: int, shared_memory: int, stream: int, arguments: Arguments, early: bool
) -> None:
    """Enqueue the kernel; with `early` it may start before its predecessor ends (kernels/dependent.py)."""
    attribute = _Attribute(id=_PROGRAMMATIC_STREAM_SERIALIZATION, value=1)
    config = _Config(
        (blocks, 1, 1), (threads, 1, 1), shared_memory, stream, ctypes.pointer(attribute), int(early)
    )  # fmt: skip
    check(_driver().cuLaunchKernelEx(byref(config), function, arguments.addresses, None))


@cache
def _driver() -> CDLL:
    found = library()
    assert found is not None, "available() is asked first"
    return found
