"""Norms of many tensors at once, of which each rank may hold a part.

Parameters of `fully_shard` are DTensors, each element of which lives on one rank: their squares are summed here, over
all tensors in one collective. Everything else of an optimizer goes element by element, on the parts alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor


def local(tensors: Sequence[Tensor]) -> list[Tensor]:
    """What this rank holds of each tensor, sharing its memory."""
    return [one.to_local() if isinstance(one, DTensor) else one for one in tensors]


def squared_norms(tensors: Sequence[Tensor]) -> Tensor:
    """The squared 2-norm of each tensor as float32 [len(tensors)]; a collective where they are sharded."""
    parts = [part.float() for part in local(tensors)]
    squares = torch.stack(torch._foreach_norm(parts)).square()
    sharded = next((one for one in tensors if isinstance(one, DTensor)), None)
    if sharded is not None:
        distributed.all_reduce(squares, group=sharded.device_mesh.get_group())
    return squares


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The 2-norm of all tensors together, a scalar."""
    return squared_norms(tensors).sum().sqrt()


def clip(gradients: Sequence[Tensor], norm: Tensor, most: float | None, scale: float = 1.0) -> None:
    """Divide gradients by `scale`, then by |g| / most where that is above 1, in place.

    Args:
        norm: theirs, after the division by `scale`.
        most: None: they are not clipped.
    """
    if most is not None:
        torch._foreach_mul_(local(gradients), most / norm.clamp_min(most) / scale)
    elif scale != 1:
        torch._foreach_div_(local(gradients), scale)
