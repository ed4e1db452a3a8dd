"""LayerNorm between two products, which leaves the next input, and the residual for the product after that.

The residual is either that input, if it has 16 bits, or what it was made of. A product of bytes is followed by 3 bytes
of memory traffic for each element instead of 7, and the residual is rounded once less.
"""

from __future__ import annotations

import torch
from torch import Tensor

from backends.gpu.kernels import GpuKernels
from backends.gpu.kernels.residual import Residual
from backends.pytorch_cpu.kernels import EmbeddingTables, Encoding, LayerNorm

Ids = tuple[Tensor, Tensor, Tensor]


def normalized(
    kernels: GpuKernels, sums: Tensor, left: Residual | None, norm: LayerNorm, encoding: Encoding
) -> tuple[Tensor, Residual]:
    """LayerNorm(sums + left) in `encoding`, [T, H], and the next residual. `sums` is overwritten.

    Args:
        left: the residual, if the product has not added it.
    """
    if not is_normalized_again(encoding):
        kernels.add_norm(sums, left, norm, encoding, sums, None)
        return sums, Residual(sums)
    to, statistics = _empty_bytes(sums, encoding)
    kernels.add_norm(sums, left, norm, encoding, to, statistics)
    return to, Residual(sums, statistics, norm)


def embedded(
    kernels: GpuKernels, ids: Ids, tables: EmbeddingTables, norm: LayerNorm, encoding: Encoding, wide: torch.dtype
) -> tuple[Tensor, Residual]:
    """The first input, [T, H] in `encoding`, and the first residual, in `wide` if it is not that input."""
    sums = torch.empty(len(ids[0]), len(norm.weight), dtype=wide, device=norm.weight.device)
    if not is_normalized_again(encoding):
        kernels.embed(ids, tables, norm, encoding, sums, None, None)
        return sums, Residual(sums)
    to, statistics = _empty_bytes(sums, encoding)
    kernels.embed(ids, tables, norm, encoding, to, sums, statistics)
    return to, Residual(sums, statistics, norm)


def is_normalized_again(encoding: Encoding) -> bool:
    """True if a LayerNorm that writes `encoding` leaves a residual with statistics."""
    return encoding.dtype.itemsize == 1


def _empty_bytes(sums: Tensor, encoding: Encoding) -> tuple[Tensor, Tensor]:
    to = torch.empty(sums.shape, dtype=encoding.dtype, device=sums.device)
    return to, torch.empty(len(sums), 2, device=sums.device)
