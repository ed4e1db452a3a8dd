"""Dropout on a CPU from 16 random bits an element, and its fusion with the residual and LayerNorm.

torch's `bernoulli_` draws a double for each element and costs more than the LayerNorm that follows. Here one 64-bit
draw of torch's generator decides on four elements, so that seeds and checkpointed generators keep their meaning.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from training.network.native import library
from training.network.native.library import Draws, Library

_VALUES = 1 << 16  # of 16 random bits


def dropped_share(dropout: float) -> float:
    """The share that is dropped for `dropout`: a multiple of 2^-16."""
    return round(dropout * _VALUES) / _VALUES


def keep_mask(like: Tensor, dropout: float) -> Tensor:
    """A new tensor like `like`: 0 with probability `dropped_share(dropout)`, else 1."""
    bits = torch.empty((like.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    first_kept = round(dropout * _VALUES) - _VALUES // 2
    draws = bits.view(torch.int16)[: like.numel()].view(like.shape)
    return torch.ge(draws, first_kept, out=torch.empty_like(like, memory_format=torch.contiguous_format))


class Dropout(nn.Module):
    """`nn.Dropout`, from 16 bits an element on a CPU."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.dropout)
        return x * keep_mask(x, self.dropout).div_(1 - dropped_share(self.dropout))


def dropout_add_norm(x: Tensor, residual: Tensor, norm: nn.LayerNorm, dropout: float) -> Tensor:
    """LayerNorm(dropout(x) + residual), [T, H] → [T, H]; `dropout` is 0 where the network is not in training."""
    if not dropout or x.device.type != "cpu":
        return norm(F.dropout(x, dropout) + residual)  # type: ignore[no-any-return]
    if native := library.for_tensors(x.shape[-1], x, residual, norm.weight):
        return _fused(x, residual, norm, Draws.of(dropout), native)  # type: ignore[no-any-return]
    return norm(_DropoutAdd.apply(x, residual, dropout))  # type: ignore[no-any-return, no-untyped-call]


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch has no types for it
def _fused(x: Tensor, residual: Tensor, norm: nn.LayerNorm, draws: Draws, native: Library) -> Tensor:
    arguments = x, residual, norm.weight, norm.bias, norm.eps, draws, native
    return _DropoutAddNorm.apply(*arguments)  # type: ignore[no-any-return, no-untyped-call]


class _DropoutAddNorm(torch.autograd.Function):
    """The backward pass draws once more, so that no mask is kept."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, eps: float, draws: Draws, native: Library
    ) -> Tensor:
        found, summed, figures = native.add_norm(x.contiguous(), residual.contiguous(), weight, bias, eps, draws)
        ctx.save_for_backward(summed, figures, weight)
        ctx.draws, ctx.native = draws, native
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        summed, figures, weight = ctx.saved_tensors
        to_x, to_residual, sums = ctx.native.add_norm_backward(grad.contiguous(), summed, figures, weight, ctx.draws)
        return to_x, to_residual, sums[0], sums[1], None, None, None


class _DropoutAdd(torch.autograd.Function):
    """dropout(x) + residual in one pass, and its gradient in another."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, dropout: float) -> Tensor:
        mask = keep_mask(residual, dropout).div_(1 - dropped_share(dropout))
        ctx.save_for_backward(mask)
        ctx.dtype = x.dtype
        return torch.addcmul(residual, x.to(residual.dtype), mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (mask,) = ctx.saved_tensors
        return (grad * mask).to(ctx.dtype), grad, None
