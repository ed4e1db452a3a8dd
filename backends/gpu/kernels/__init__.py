"""The kernels, one file each: Triton's, a function that launches it, and its plain PyTorch twin.

Twin and launcher have one signature: what is read, then `to`, which is written. All tensors are contiguous and of one
device; T packed tokens of B samples, hidden size H. `Form` says how a result is wanted: float16 and bfloat16 as they
are; bytes (int8, or fp8 in e4m3) as x * multiplier + zero_point, rounded to nearest, ties to even, and held to the
type's range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backends.gpu.kernels import add_norm, attention, embed, epilogue, gemm, head


@dataclass(frozen=True)
class Kernels:
    """One way to compute all that lies between a batch's ids and its logits."""

    name: str
    embed: Callable[..., None]
    add_norm: Callable[..., None]
    attention: Callable[..., None]
    epilogue: Callable[..., None]
    gemm: Callable[..., None]
    head: Callable[..., None]


TWIN = Kernels("twin", embed.twin, add_norm.twin, attention.twin, epilogue.twin, gemm.twin, head.twin)
TRITON = Kernels("triton", embed.launch, add_norm.launch, attention.launch, epilogue.launch, gemm.launch, head.launch)
