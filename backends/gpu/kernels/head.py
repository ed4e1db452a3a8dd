"""The head's last layer: a few float32 logits for each row of the encoder's output, in one pass."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels.norm import warps


def twin(stream: Tensor, weight: Tensor, bias: Tensor, to: Tensor) -> None:
    """stream Wᵀ + b into `to`, float32 [T, N]; stream of any float type [T, H], weight float32 [N, H], bias [N]."""
    to.copy_(stream.float() @ weight.T + bias)


def launch(stream: Tensor, weight: Tensor, bias: Tensor, to: Tensor) -> None:
    """The same as `twin`, through the Triton kernel."""
    tokens, width = stream.shape
    block = triton.next_power_of_2(width)
    _head[(tokens,)](
        stream, weight, bias, to, width, outputs=len(weight), block=block, num_warps=warps(block),
        **dependents.options(),
    )  # fmt: skip


@triton.jit
def _head(stream, weight, bias, to, width, outputs: tl.constexpr, block: tl.constexpr, dependent: tl.constexpr):
    """One program per row."""
    dependents.wait(dependent)
    token = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    x = tl.load(stream + token * width + columns, inside, 0.0).to(tl.float32)
    for output in tl.static_range(outputs):
        row = tl.load(weight + output * width + columns, inside, 0.0)
        tl.store(to + token * outputs + output, tl.sum(x * row, 0) + tl.load(bias + output))
