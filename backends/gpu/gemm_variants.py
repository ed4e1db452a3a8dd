"""The ways to compute a matrix product: our own GEMM with everything fused, or the library's and then an epilogue.

Which is faster depends on the GPU, the shape and the number of tokens, so each product has a variant for each bucket
of tokens (gemm_tuning.py chooses it). Some variants add a residual as well; the others leave that to the LayerNorm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Protocol

import torch
import triton
from torch import Tensor

from backends.gpu.hopper import gemm as hopper
from backends.gpu.hopper import small
from backends.gpu.kernels import GpuKernels
from backends.gpu.kernels.gemm import TILES
from backends.gpu.kernels.residual import Residual
from backends.gpu.weights import Product, fp8_sums

LIBRARY = "library"
MIN_INT8_TOKENS = 17  # of the library's int8 product


class GemmVariant(Protocol):
    """x [T, K] → y [T, N]; a product with a residual is given one, and `adds_residual` says whether y has it."""

    def __call__(self, x: Tensor, residual: Residual | None = None, /) -> Tensor: ...


def variants(product: Product, tokens: int) -> tuple[str, ...]:
    """The names of the variants that can compute this product at `tokens` tokens or more, and might be the fastest.

    Those that start early are chosen for whole passes (pass_tuning.py).
    """
    takes_library = product.weight.dtype != torch.int8 or tokens >= MIN_INT8_TOKENS
    tiles = tuple(name for name, tile in TILES.items() if tile.takes(product.weight, tokens))
    tiles += hopper.variants(product, tokens)
    return (LIBRARY, *tiles) if takes_library else tiles


def starts_early(name: str) -> bool:
    """True if a pass of such variants is launched so that kernels start early (kernels/dependent.py)."""
    return name in small.SHAPES


def adds_residual(name: str) -> bool:
    """True if the variant adds the residual of a product that has one."""
    return name in hopper.SHAPES


def build_variant(name: str, product: Product, kernels: GpuKernels) -> GemmVariant:
    """The variant `name`, one of `variants`, as a function."""
    if name == LIBRARY:
        return _LIBRARY[product.weight.dtype](product, kernels)
    if name in hopper.SHAPES:
        return hopper.HopperProduct(hopper.SHAPES[name], product)
    if name in small.SHAPES:
        return small.SmallProduct(small.SHAPES[name], product)
    return lambda x, _=None: _fused(product, kernels, name, x)


def _fused(product: Product, kernels: GpuKernels, tile: str, x: Tensor) -> Tensor:
    to = _empty_output(product, x)
    kernels.gemm(x, product.weight, product.scale, product.bias, product.gelu, product.output_encoding, to, tile)
    return to


def _empty_output(product: Product, x: Tensor) -> Tensor:
    return torch.empty(len(x), len(product.weight), dtype=product.output_encoding.dtype, device=x.device)


def _with_epilogue(product: Product, kernels: GpuKernels, sums: Tensor, scale: Tensor | None) -> Tensor:
    to = _empty_output(product, sums)
    kernels.epilogue(sums, scale, product.bias, product.gelu, product.output_encoding, to)
    return to


def _library_float(product: Product, kernels: GpuKernels) -> GemmVariant:
    """The library adds the bias; an epilogue follows only for GELU, which the library only approximates."""
    transposed, bias = product.weight.T, product.bias.to(product.weight.dtype)
    if product.gelu:
        return lambda x, _=None: _with_epilogue(product, kernels, x @ transposed, None)
    return lambda x, _=None: torch.addmm(bias, x, transposed)


def _library_int8(product: Product, kernels: GpuKernels) -> GemmVariant:
    transposed = product.weight.T
    return lambda x, _=None: _with_epilogue(product, kernels, torch._int_mm(x, transposed), product.scale)


def _library_fp8(product: Product, kernels: GpuKernels) -> GemmVariant:
    """The library takes a scale for each row and each column; ours are the columns', the rows' are ones."""
    out = fp8_sums(product.weight.device)
    transposed, bias = product.weight.T, product.bias.to(out)
    assert product.scale is not None
    columns = product.scale[None, :]

    def multiplied(x: Tensor, bias: Tensor | None) -> Tensor:
        rows = _ones(triton.next_power_of_2(len(x)), x.device)[: len(x)]
        return torch._scaled_mm(x, transposed, rows, columns, bias, out_dtype=out, use_fast_accum=True)

    if product.gelu:
        return lambda x, _=None: _with_epilogue(product, kernels, multiplied(x, None), None)
    return lambda x, _=None: multiplied(x, bias).to(product.output_encoding.dtype)


@cache
def _ones(count: int, device: torch.device) -> Tensor:
    """[count, 1], filled once instead of at every product, and never freed: CUDA graphs read it."""
    return torch.ones(count, 1, device=device)


_LIBRARY: dict[torch.dtype, Callable[[Product, GpuKernels], GemmVariant]] = {
    torch.float16: _library_float,
    torch.bfloat16: _library_float,
    torch.int8: _library_int8,
    torch.float8_e4m3fn: _library_fp8,
}
