"""What oneDNN's products, as PyTorch calls them, can do on this machine."""

from __future__ import annotations

import functools

import torch

from backends.pytorch_cpu.kernels.base import BYTE_SHIFT, BYTES


def has_bfloat16() -> bool:
    """True if it has bfloat16 products for this machine, more than reference loops."""
    return bool(torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packs(dtype: torch.dtype) -> bool:
    """True if products of `dtype`, float32 or bfloat16, can have weights laid out in advance."""
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    return dtype == torch.float32 or has_bfloat16()


@functools.cache
def has_exact_int8() -> bool:
    """True if its sums of bytes by int8 are right: the largest are tried.

    On x86 without VNNI it adds two products in 16 bits, which saturate at 32,767 where two largest ones sum to 64,770.
    """
    if not torch._C._has_mkldnn:
        return False
    size, largest = 64, 255 - BYTE_SHIFT
    weight = torch.full((size, size), 127, dtype=torch.int8)
    factors = torch.ones(size), torch.zeros(size, dtype=torch.int32), torch.zeros(size)  # scale, zero point, bias
    found = torch.ops.onednn.qlinear_pointwise(
        torch.full((1, size), largest, dtype=BYTES),
        *(1.0, 0),
        torch.ops.onednn.qlinear_prepack(weight, [1, size]),
        *factors,
        *(1.0, 0, torch.float32, "none", [], "none"),
    )
    return bool((found == 127 * size * largest).all())
