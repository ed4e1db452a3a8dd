"""The Hopper product for few rows as GEMM variants (small.cu): K is split over a cluster, and launches may be early.

At a few hundred tokens a product lasts as long as one CTA's walk over K. Whole tiles of 64 rows are too few for a GPU
with 132 processors; split over K, there are enough of them and each is short.
"""

from __future__ import annotations

import math
from ctypes import c_float, c_int, c_void_p
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import torch
from torch import Tensor

from backends.gpu.hopper import driver, nvrtc
from backends.gpu.hopper import gemm as large
from backends.gpu.hopper.source import NO_RESIDUAL, STEP, Shape, Types, source
from backends.gpu.kernels import dependent
from backends.gpu.kernels.residual import Residual
from backends.gpu.weights import Product

_ROWS = 64  # of a tile
MOST_TOKENS = 6 * _ROWS  # with more, larger tiles fill a GPU and read less
_MOST_OFFERED = 5  # to the tuning of a product at some number of tokens
_THREADS = 160
_SHARED_MEMORY = 113 * 1024  # leaves room for a second CTA, such as one of the next kernel
_ARGUMENTS = 64  # kept for each product


@dataclass(frozen=True)
class Small:
    """Tiles of 64 rows and so many columns, K split over so many CTAs."""

    columns: int
    split: int

    @property
    def shape(self) -> Shape:
        """As the source of larger tiles has it: what one warpgroup computes alone."""
        stages = (_SHARED_MEMORY - self._fixed_bytes) // self._stage_bytes
        return Shape(blocks=1, columns=self.columns, ping_pong=True, stages=stages)

    @property
    def _stage_bytes(self) -> int:
        """With two barriers."""
        return (_ROWS + self.columns) * STEP + 16

    @property
    def _fixed_bytes(self) -> int:
        """For alignment, and of the other CTAs' sums with a barrier."""
        return 1024 + 8 + (self.split - 1) * _ROWS * self.columns // self.split * 4

    @property
    def shared_memory(self) -> int:
        """Bytes."""
        return self._fixed_bytes + self.shape.stages * self._stage_bytes

    def ctas(self, tokens: int, columns: int) -> int:
        """Of a launch for so many rows and columns of results."""
        return -(-tokens // _ROWS) * (columns // self.columns) * self.split

    def source(self, types: Types) -> str:
        """The complete source of its kernel, which adds no residual."""
        return f"#define SPLIT {self.split}\n{source(self.shape, replace(types, residual=NO_RESIDUAL), 'small.cu')}"


SHAPES: dict[str, Small] = {
    "small 64x64": Small(64, 1),
    "small 64x64 by 2": Small(64, 2),
    "small 64x64 by 4": Small(64, 4),
    "small 64x128": Small(128, 1),
    "small 64x128 by 2": Small(128, 2),
    "small 64x128 by 4": Small(128, 4),
}


def variants(product: Product, tokens: int) -> tuple[str, ...]:
    """The names of the shapes that might be the fastest at `tokens` tokens, the likely best first.

    These have about as many CTAs as there are processors.
    """
    device = product.weight.device
    if tokens > MOST_TOKENS or device.type != "cuda" or not large.available(device.index or 0):
        return ()
    return likely(product, tokens, torch.cuda.get_device_properties(device).multi_processor_count)


def likely(product: Product, tokens: int, processors: int) -> tuple[str, ...]:
    """As `variants`, for a GPU with so many processors."""
    columns = len(product.weight)
    each = {name: one.ctas(tokens, columns) / processors for name, one in SHAPES.items() if takes(one, product)}
    return tuple(sorted(each, key=lambda name: abs(math.log(each[name])))[:_MOST_OFFERED])


def takes(small: Small, product: Product) -> bool:
    """True if the result has whole tiles of columns, and each CTA whole steps of K."""
    n, k = product.weight.shape
    return n % small.columns == 0 and k * product.weight.element_size() % (STEP * small.split) == 0


class SmallProduct:
    """One shape of a product, x [T, K] → y [T, N]; a residual is left to the next kernel."""

    def __init__(self, small: Small, product: Product) -> None:
        """Raises CompilerError if NVRTC is missing, or rejects the source."""
        self._small, self._product = small, product
        self._function = _kernel(small, large.types(product), product.weight.device.index or 0)
        self._prepared = lru_cache(_ARGUMENTS)(self._arguments)
        self._weight_map = _map(product.weight.data_ptr(), product, len(product.weight), small.columns)

    def __call__(self, x: Tensor, _: Residual | None = None, /) -> Tensor:
        small, product = self._small, self._product
        y = torch.empty(len(x), len(product.weight), dtype=product.output_encoding.dtype, device=x.device)
        arguments = self._prepared(x.data_ptr(), len(x), y.data_ptr())
        stream = torch.cuda.current_stream(x.device).cuda_stream
        driver.launch_early(
            self._function, small.ctas(len(x), len(product.weight)), _THREADS, small.shared_memory, stream, arguments,
            dependent.is_on(),
        )  # fmt: skip
        return y

    def _arguments(self, x: int, rows: int, y: int) -> driver.Arguments:
        product = self._product
        encoding, (n, k) = product.output_encoding, product.weight.shape
        return driver.Arguments(
            _map(x, product, rows, _ROWS),
            self._weight_map,
            *(_address(one) for one in (product.scale, product.bias, encoding.multiplier)),
            c_void_p(y),
            c_float(encoding.zero_point),
            *(c_int(one) for one in (rows, n, k * product.weight.element_size() // STEP)),
        )


def _map(address: int, product: Product, rows: int, box_rows: int) -> driver.TensorMap:
    """Of an operand with the K and the type of the weights."""
    row_bytes = product.weight.shape[1] * product.weight.element_size()
    return driver.tensor_map(address, (row_bytes, rows), (row_bytes,), (STEP, box_rows))


@cache
def _kernel(small: Small, types: Types, device: int) -> c_void_p:
    with torch.cuda.device(device):
        return driver.loaded(nvrtc.cached_code(small.source(types)), "gemm", small.shared_memory)


def _address(tensor: Tensor | None) -> c_void_p:
    return c_void_p(0 if tensor is None else tensor.data_ptr())
