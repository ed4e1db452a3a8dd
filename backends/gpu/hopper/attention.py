"""Hopper's attention: when it takes the place of Triton's, and its launch.

A launch must cost microseconds, so its arguments are kept for the addresses that it has seen (gemm.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from ctypes import c_float, c_int, c_void_p
from functools import cache, lru_cache

import torch
from torch import Tensor

from backends.gpu.hopper import driver, nvrtc
from backends.gpu.hopper.attention_source import (
    BLOCK,
    CONSUMERS,
    HEAD_SIZE,
    ROW_BYTES,
    TAIL,
    THREADS,
    pairs,
    shared_memory,
    source,
)
from backends.gpu.hopper.gemm import available
from backends.gpu.hopper.source import BF16, E4M3, F16, S8
from backends.pytorch_cpu.kernels import Encoding

Attention = Callable[[Tensor, Tensor, int, int, Encoding, Tensor], None]  # kernels/attention.py's launch
_ARGUMENTS = 1024  # launches that are kept: a few for each layer
_OPERANDS = {torch.float16: F16, torch.bfloat16: BF16}
_RESULTS = {**_OPERANDS, torch.int8: S8, torch.float8_e4m3fn: E4M3}
_SCALE = 1 / (math.log(2) * math.sqrt(HEAD_SIZE))


def chosen(other: Attention, width: int, heads: int, device: torch.device) -> Attention:
    """Attention for a model of this width on `device`: `launch`, or the `other` where that cannot run."""
    fits = width == heads * HEAD_SIZE and device.type == "cuda" and available(device.index or 0)
    return launch if fits else other


def launch(qkv: Tensor, cu_seqlens: Tensor, longest: int, heads: int, encoding: Encoding, to: Tensor) -> None:
    """softmax(Q Kᵀ / 8) V of every sample and head; see `twin` in kernels/attention.py.

    Args:
        qkv: float16 or bfloat16 [T, 3 * 64 * heads].
        cu_seqlens: int32 [B + 1].

    Raises:
        CompilerError: NVRTC is missing, or rejects the source.
    """
    if not len(qkv) or len(cu_seqlens) < 2:
        return
    assert qkv.shape[1] == 3 * HEAD_SIZE * heads and cu_seqlens.dtype == torch.int32
    kernel = _kernel(qkv.dtype, encoding.dtype, heads, qkv.device.index or 0)
    multiplier = 0 if encoding.multiplier is None else encoding.multiplier.data_ptr()
    addresses = qkv.data_ptr(), cu_seqlens.data_ptr(), multiplier, to.data_ptr()
    kernel(addresses, len(qkv), len(cu_seqlens) - 1, longest, float(encoding.zero_point))


def division(samples: int, heads: int, longest: int, most_pairs: int, processors: int) -> tuple[int, int]:
    """How the queries of a head are divided into items: into how many, of how many blocks at most.

    A sample whose keys do not all fit in shared memory is read again for every CONSUMERS blocks. Few items are made
    smaller, as long as processors are idle.
    """
    blocks = max(1, -(-longest // BLOCK))
    most = blocks if blocks <= most_pairs else CONSUMERS

    def rounds(size: int) -> int:
        return -(-samples * heads * -(-blocks // size) // processors) * (size + 2)  # 2: for keys, and to begin and end

    size = min(range(most, 0, -1), key=rounds)
    return -(-blocks // size), size


class _Kernel:
    """Compiled for its types, on one device."""

    def __init__(self, operand: int, result: int, heads: int, device: int) -> None:
        width = heads * HEAD_SIZE
        self._heads = heads
        self._pairs, self._shared_memory = pairs(result, width), shared_memory(result, width)
        self._processors = torch.cuda.get_device_properties(device).multi_processor_count
        self._device = device
        with torch.cuda.device(device):
            code = nvrtc.cached_code(source(operand, result, width))
            self._function = driver.loaded(code, "attention", self._shared_memory)
        self._prepared = lru_cache(_ARGUMENTS)(self._arguments)

    def __call__(self, addresses: tuple[int, ...], tokens: int, samples: int, longest: int, zero_point: float) -> None:
        blocks, arguments = self._prepared(addresses, tokens, samples, longest, zero_point)
        stream = torch.cuda.current_stream(self._device).cuda_stream
        driver.launch(self._function, blocks, self._shared_memory, stream, arguments, THREADS)

    def _arguments(
        self, addresses: tuple[int, ...], tokens: int, samples: int, longest: int, zero_point: float
    ) -> tuple[int, driver.Arguments]:
        """CTAs of a launch, and the kernel's arguments."""
        qkv, ends, multiplier, to = addresses
        parts, size = division(samples, self._heads, longest, self._pairs, self._processors)
        items, row = samples * parts * self._heads, 3 * self._heads * ROW_BYTES
        block, tail = (driver.tensor_map(qkv, (row, tokens), (row,), (ROW_BYTES, rows)) for rows in (BLOCK, TAIL))
        found = driver.Arguments(
            block, tail, c_void_p(ends), c_void_p(multiplier), c_void_p(to), c_float(_SCALE), c_float(zero_point),
            c_int(items), c_int(parts), c_int(size),
        )  # fmt: skip
        return min(items, self._processors), found


@cache
def _kernel(operand: torch.dtype, result: torch.dtype, heads: int, device: int) -> _Kernel:
    return _Kernel(_OPERANDS[operand], _RESULTS[result], heads, device)
