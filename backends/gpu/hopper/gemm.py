"""The Hopper product as GEMM variants: which shapes a product can take, and one of them as a function.

A kernel's launch must cost microseconds, so its arguments are kept for the addresses that it has seen: PyTorch's
allocator returns the same ones for every batch of a size.
"""

from __future__ import annotations

from ctypes import c_float, c_int, c_void_p
from functools import cache, lru_cache
from typing import Final

import torch
from torch import Tensor

from backends.gpu.hopper import driver, nvrtc
from backends.gpu.hopper.source import (
    AS_IT_IS,
    BF16,
    E4M3,
    F16,
    NO_RESIDUAL,
    NORMALIZED,
    S8,
    STEP,
    Shape,
    Types,
    shared_memory,
    source,
)
from backends.gpu.kernels.residual import Residual
from backends.gpu.residual_norm import is_normalized_again
from backends.gpu.weights import Product

CAPABILITY = (9, 0)
MIN_TOKENS = 128  # below, too few tiles to fill a GPU
_ARGUMENTS = 64  # kept for each product
_TYPES: Final = {torch.int8: S8, torch.float8_e4m3fn: E4M3, torch.float16: F16, torch.bfloat16: BF16}
_ALIGNED = 16  # bytes, of a row that TMA reads

# On an H200 (`benchmarks.gpu_hopper`) turns, which hide the epilogue, were the fastest where K is 1,024; the larger
# tile, which reads less, where K is 4,096. Each shape costs time at load.
SHAPES: dict[str, Shape] = {
    "hopper 128x256": Shape(blocks=1, columns=256),
    "hopper 64x256 turns": Shape(blocks=1, columns=256, pair=True, ping_pong=True),
    "hopper 128x128 turns": Shape(blocks=2, columns=128, pair=True, ping_pong=True),
}


def variants(product: Product, tokens: int) -> tuple[str, ...]:
    """The names of the shapes that can compute this product at `tokens` tokens or more, on the GPU of its weights."""
    device = product.weight.device
    if tokens < MIN_TOKENS or device.type != "cuda" or not available(device.index or 0):
        return ()
    return tuple(name for name, shape in SHAPES.items() if takes(shape, product))


def takes(shape: Shape, product: Product) -> bool:
    """True if the result has whole tiles of columns, and rows of x and W are aligned."""
    n, k = product.weight.shape
    return n % shape.columns == 0 and k * product.weight.element_size() % _ALIGNED == 0


@cache
def available(device: int) -> bool:
    """True if this GPU is a Hopper, and its driver and NVRTC are at hand."""
    is_hopper = torch.cuda.get_device_capability(device) == CAPABILITY
    return is_hopper and driver.library() is not None and nvrtc.library() is not None


def types(product: Product) -> Types:
    """The types of a product's kernel."""
    return Types(
        operand=_TYPES[product.weight.dtype],
        result=_TYPES[product.output_encoding.dtype],
        gelu=product.gelu,
        scaled=product.scale is not None,
        residual=_residual(product),
    )


def _residual(product: Product) -> int:
    if not product.has_residual:
        return NO_RESIDUAL
    return NORMALIZED if is_normalized_again(product.input_encoding) else AS_IT_IS


class HopperProduct:
    """One shape of a product, x [T, K] → y [T, N]; with the residual added, if the product has one."""

    def __init__(self, shape: Shape, product: Product) -> None:
        """Raises CompilerError if NVRTC is missing, or rejects the source."""
        self._shape, self._product, self._types = shape, product, types(product)
        device = product.weight.device
        self._function, self._shared_memory = _kernel(shape, self._types, device.index or 0)
        self._processors = torch.cuda.get_device_properties(device).multi_processor_count
        self._weight_map = _weight_map(product.weight, shape, self._types)
        self._prepared = lru_cache(_ARGUMENTS)(self._arguments)

    def __call__(self, x: Tensor, residual: Residual | None = None, /) -> Tensor:
        product = self._product
        y = torch.empty(len(x), len(product.weight), dtype=product.output_encoding.dtype, device=x.device)
        blocks, arguments = self._prepared(x.data_ptr(), len(x), y.data_ptr(), *self._added(residual))
        stream = torch.cuda.current_stream(x.device).cuda_stream
        driver.launch(self._function, blocks, self._shared_memory, stream, arguments)
        return y

    def _added(self, residual: Residual | None) -> tuple[int, ...]:
        """The addresses of its rows and statistics, and of its LayerNorm's weight and bias."""
        if self._types.residual == NO_RESIDUAL:
            return (0, 0, 0, 0)
        rows, statistics, norm = residual or (None, None, None)
        parts = (rows, statistics, norm and norm.weight, norm and norm.bias)
        needed = parts if self._types.residual == NORMALIZED else parts[:1]
        if any(part is None for part in needed):
            raise ValueError("expected a residual in the form that this kernel was compiled for, found another")
        return tuple(0 if part is None else part.data_ptr() for part in parts)

    def _arguments(self, x: int, rows: int, y: int, *added: int) -> tuple[int, driver.Arguments]:
        """CTAs of a launch, and the kernel's arguments, for tensors at these addresses."""
        product, shape = self._product, self._shape
        n, k_bytes = len(product.weight), product.weight.shape[1] * product.weight.element_size()
        encoding = product.output_encoding
        found = driver.Arguments(
            driver.tensor_map(x, (k_bytes, rows), (k_bytes,), (STEP, shape.copies[0])),
            self._weight_map,
            _address(product.scale),
            _address(product.bias),
            _address(encoding.multiplier),
            *map(c_void_p, added),
            c_void_p(y),
            c_float(encoding.zero_point),
            c_int(rows),
            c_int(n),
            c_int(-(-k_bytes // STEP)),
        )
        return blocks_of(shape, rows, n, self._processors), found


def blocks_of(shape: Shape, rows: int, columns: int, processors: int) -> int:
    """CTAs of a launch: one for each processor, in whole pairs, but no more than there are tiles."""
    tiles = -(-rows // (shape.rows * shape.ctas)) * (columns // shape.columns)  # a pair of them counts once
    return min(tiles, processors // shape.ctas) * shape.ctas


def weight_box(n: int, k_bytes: int, shape: Shape, kind: Types) -> tuple[tuple[int, ...], ...]:
    """Sizes, strides and box of the map of W [N, K].

    It reads rows such that a thread, which holds columns 8 j + 2 q + e of a product (q: its place among
    four; e: 0 or 1), has adjacent columns of y: its dimensions are k, e, q, j and groups of rows.
    """
    group, pairs = kind.group, kind.group // 8
    sizes = (k_bytes, 2, 4, pairs, n // group)
    strides = (k_bytes, group // 4 * k_bytes, 2 * k_bytes, group * k_bytes)
    return sizes, strides, (STEP, 2, 4, pairs, shape.copies[1] // group)


def _weight_map(weight: Tensor, shape: Shape, kind: Types) -> driver.TensorMap:
    n, k = weight.shape
    return driver.tensor_map(weight.data_ptr(), *weight_box(n, k * weight.element_size(), shape, kind))


@cache
def _kernel(shape: Shape, kind: Types, device: int) -> tuple[c_void_p, int]:
    """The kernel, loaded on a device, and its shared memory."""
    size = shared_memory(shape, kind)
    with torch.cuda.device(device):
        return driver.loaded(nvrtc.cached_code(source(shape, kind)), "gemm", size), size


def _address(tensor: Tensor | None) -> c_void_p:
    return c_void_p(0 if tensor is None else tensor.data_ptr())
