"""How a matrix product is computed: by our own GEMM with everything fused, or by the library's and then a pass of ours.

Which of them is faster depends on the GPU, the shape and how many tokens there are, so each product has a way for each
bucket of tokens (choice.py says which).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from backends.gpu.kernels import GpuKernels
from backends.gpu.kernels.gemm import TILES
from backends.gpu.weights import Product

LIBRARY = "library"
LEAST_INT8_TOKENS = 16  # the library's int8 product takes more than these
GemmVariant = Callable[[Tensor], Tensor]  # x [T, K] → y [T, N]


def ways(product: Product, tokens: int) -> tuple[str, ...]:
    """All that there are for this product at so many tokens."""
    takes_library = product.weight.dtype != torch.int8 or tokens > LEAST_INT8_TOKENS
    tiles = tuple(name for name, tile in TILES.items() if tile.takes(product.weight))
    return (LIBRARY, *tiles) if takes_library else tiles


def way(name: str, product: Product, kernels: GpuKernels) -> GemmVariant:
    """One of `ways`."""
    if name == LIBRARY:
        return _LIBRARY[product.weight.dtype](product, kernels)
    return lambda x: _fused(product, kernels, name, x)


def _fused(product: Product, kernels: GpuKernels, tile: str, x: Tensor) -> Tensor:
    to = _room(product, x)
    kernels.gemm(x, product.weight, product.scale, product.bias, product.gelu, product.output_encoding, to, tile)
    return to


def _room(product: Product, x: Tensor) -> Tensor:
    return torch.empty(len(x), len(product.weight), dtype=product.output_encoding.dtype, device=x.device)


def _finished(product: Product, kernels: GpuKernels, sums: Tensor, scale: Tensor | None) -> Tensor:
    to = _room(product, sums)
    kernels.epilogue(sums, scale, product.bias, product.gelu, product.output_encoding, to)
    return to


def _library_float(product: Product, kernels: GpuKernels) -> GemmVariant:
    """The library adds the bias itself; a pass of ours follows only for GELU, which it has as an approximation."""
    transposed, bias = product.weight.T, product.bias.to(product.weight.dtype)
    if product.gelu:
        return lambda x: _finished(product, kernels, x @ transposed, None)
    return lambda x: torch.addmm(bias, x, transposed)


def _library_int8(product: Product, kernels: GpuKernels) -> GemmVariant:
    transposed = product.weight.T
    return lambda x: _finished(product, kernels, torch._int_mm(x, transposed), product.scale)


def _library_fp8(product: Product, kernels: GpuKernels) -> GemmVariant:
    """The library takes a scale for every row and column; our rows have all the same, which is in the columns'."""
    transposed, bias = product.weight.T, product.bias.to(torch.bfloat16)
    assert product.scale is not None
    columns = product.scale[None, :]

    def multiplied(x: Tensor, bias: Tensor | None) -> Tensor:
        rows = torch.ones(len(x), 1, device=x.device)
        return torch._scaled_mm(x, transposed, rows, columns, bias, out_dtype=torch.bfloat16, use_fast_accum=True)

    if product.gelu:
        return lambda x: _finished(product, kernels, multiplied(x, None), None)
    return lambda x: multiplied(x, bias)


_LIBRARY: dict[torch.dtype, Callable[[Product, GpuKernels], GemmVariant]] = {
    torch.float16: _library_float,
    torch.bfloat16: _library_float,
    torch.int8: _library_int8,
    torch.float8_e4m3fn: _library_fp8,
}
