"""Linear layers in float32 on a CPU, with the bias added and its gradient summed as the processor likes it.

torch writes the bias into the product's output before the product, which costs one pass more than adding it after; and
its sum over the tokens of a wide gradient takes three times as long as a product with a row of ones. Where GELU
follows, both are done in its own pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from training.network.native import library
from training.network.native.library import Library


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x Wᵀ + b, [T, K] → [T, N]: `F.linear`, which it is on other devices and under autocast."""
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


def through(layer: nn.Linear, x: Tensor) -> Tensor:
    """`linear` with a layer's own weights."""
    return linear(x, layer.weight, layer.bias)


def linear_gelu(layer: nn.Linear, x: Tensor) -> Tensor:
    """GELU(x Wᵀ + b), [T, K] → [T, N]."""
    native = None if torch.is_autocast_enabled("cpu") else library.for_tensors(layer.out_features, x, layer.weight)
    return _fused(layer, x, native) if native else F.gelu(through(layer, x))


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch has no types for it
def _fused(layer: nn.Linear, x: Tensor, native: Library) -> Tensor:
    return _LinearGelu.apply(x, layer.weight, layer.bias, native)  # type: ignore[no-any-return, no-untyped-call]


class _LinearGelu(torch.autograd.Function):
    """Keeps the product without the bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, native: Library) -> Tensor:
        product = torch.mm(x, weight.T)
        ctx.save_for_backward(x, weight, bias, product)
        ctx.native = native
        return native.gelu(product, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, bias, product = ctx.saved_tensors
        to_product, to_bias = ctx.native.gelu_backward(grad.contiguous(), product, bias)
        return torch.mm(to_product, weight), torch.mm(to_product.T, x), to_bias, None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.mm(x, weight.T).add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        return torch.mm(grad, weight), torch.mm(grad.T, x), torch.mm(grad.new_ones(1, len(grad)), grad)[0]
