"""Residual + LayerNorm, and its result in the encoding of the next product, in one pass over memory."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels.norm import norm_row, warps
from backends.gpu.kernels.rounding import store
from backends.pytorch_cpu.kernels import Encoding, LayerNorm


def twin(projected: Tensor, stream: Tensor, norm: LayerNorm, encoding: Encoding | None, to: Tensor | None) -> None:
    """stream = LayerNorm(stream + projected), in place; and the same into `to` in `encoding`, unless None.

    Args:
        projected, stream: float16 or bfloat16 [T, H]; sums and LayerNorm are float32.
    """
    y = F.layer_norm(stream.float() + projected.float(), norm.weight.shape, norm.weight, norm.bias, norm.epsilon)
    stream.copy_(y)
    if to is not None and encoding is not None:
        store(y, encoding, to)


def launch(projected: Tensor, stream: Tensor, norm: LayerNorm, encoding: Encoding | None, to: Tensor | None) -> None:
    """The same as `twin`, through the Triton kernel."""
    tokens, width = stream.shape
    block = triton.next_power_of_2(width)
    multiplier, zero_point = (None, 0) if encoding is None else (encoding.multiplier, encoding.zero_point)
    _add_norm[(tokens,)](
        projected, norm.weight, norm.bias, multiplier, stream, to,
        norm.epsilon, float(zero_point), width, block=block, num_warps=warps(block),
        **dependents.options(),
    )  # fmt: skip


@triton.jit
def _add_norm(
    projected, weight, bias, multiplier, stream, to, epsilon, zero_point, width,
    block: tl.constexpr, dependent: tl.constexpr,
):  # fmt: skip
    """One program per token."""
    if dependent:
        dependents.ask_for_vector(weight, width, block)
        dependents.ask_for_vector(bias, width, block)
        dependents.ask_for_vector(multiplier, width, block)
    dependents.wait(dependent)
    token = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    x = tl.load(stream + token * width + columns, inside, 0.0).to(tl.float32)
    x += tl.load(projected + token * width + columns, inside, 0.0).to(tl.float32)
    norm_row(x, columns, inside, width, weight, bias, epsilon, multiplier, zero_point, token, stream, to)
