"""The GPU's kernels, one file each: the Triton kernel, the function that launches it, and its plain PyTorch twin.

Twin and launcher have the same signature: the inputs, then `to`, which is written. All tensors are contiguous and on
one device; T packed tokens of B samples, hidden size H. `Encoding` says how a result is stored: float16 and bfloat16
as they are; bytes (int8, or fp8 in e4m3) as x * multiplier + zero_point, rounded to nearest, ties to even, and clamped
to the type's range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backends.gpu.kernels import add_norm, attention, embed, epilogue, gemm, head


@dataclass(frozen=True, kw_only=True)
class GpuKernels:
    """Everything between a batch's ids and its logits, in Triton or in PyTorch."""

    name: str
    embed: Callable[..., None]
    add_norm: Callable[..., None]
    attention: Callable[..., None]
    epilogue: Callable[..., None]
    gemm: Callable[..., None]
    head: Callable[..., None]


TWIN = GpuKernels(
    name="twin",
    embed=embed.twin,
    add_norm=add_norm.twin,
    attention=attention.twin,
    epilogue=epilogue.twin,
    gemm=gemm.twin,
    head=head.twin,
)
TRITON = GpuKernels(
    name="triton",
    embed=embed.launch,
    add_norm=add_norm.launch,
    attention=attention.launch,
    epilogue=epilogue.launch,
    gemm=gemm.launch,
    head=head.launch,
)
