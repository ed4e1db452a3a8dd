"""The epilogue of a library's matrix product: scale, bias, GELU and the next product's encoding, in one pass.

Our own GEMM does this in registers (gemm.py); this kernel is for shapes at which the library is faster nevertheless.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels.rounding import gelu as gelu_of
from backends.gpu.kernels.rounding import rounded, store
from backends.pytorch_cpu.kernels import Encoding


def twin(sums: Tensor, scale: Tensor | None, bias: Tensor, gelu: bool, encoding: Encoding, to: Tensor) -> None:
    """act(sums * scale + bias) into `to` [T, N] in `encoding`.

    Args:
        sums: int32, float16, bfloat16 or float32 [T, N].
        scale, bias: float32 [N]; a scale of None is 1.
    """
    y = sums.float() + bias if scale is None else sums.float() * scale + bias
    store(F.gelu(y) if gelu else y, encoding, to)


def launch(sums: Tensor, scale: Tensor | None, bias: Tensor, gelu: bool, encoding: Encoding, to: Tensor) -> None:
    """The same as `twin`, through the Triton kernel."""
    tokens, width = to.shape
    block = min(1024, triton.next_power_of_2(width))
    _epilogue[(tokens, triton.cdiv(width, block))](
        sums, scale, bias, encoding.multiplier, to, float(encoding.zero_point), width, gelu=gelu, block=block,
        **dependents.options(),
    )  # fmt: skip


@triton.jit
def _epilogue(
    sums, scale, bias, multiplier, to, zero_point, width, gelu: tl.constexpr, block: tl.constexpr,
    dependent: tl.constexpr,
):  # fmt: skip
    """One program per block of columns of one token."""
    dependents.wait(dependent)
    token = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * block + tl.arange(0, block)
    inside = columns < width
    y = tl.load(sums + token * width + columns, inside, 0).to(tl.float32)
    if scale is not None:
        y = y * tl.load(scale + columns, inside, 0.0)
    y += tl.load(bias + columns, inside, 0.0)
    if gelu:
        y = gelu_of(y)
    factors = None
    if multiplier is not None:
        factors = tl.load(multiplier + columns, inside, 0.0)
    tl.store(to + token * width + columns, rounded(y, factors, zero_point, to.dtype.element_ty), inside)
