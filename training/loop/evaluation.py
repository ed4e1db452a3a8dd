"""An evaluation spread over the ranks, equal at any world size.

Batches are cut before they are dealt, so a sample is computed in the same batch whatever the world; each batch's counts
are summed in the same order. Nothing is averaged over ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from foundation.arrays import Int32, Int64
from training.loop.dealing import micro_batches
from training.loop.world import World


def spread(
    lengths: Int32, most_tokens: int, world: World, score: Callable[[Int64], Sequence[Tensor]]
) -> Sequence[float]:
    """Totals of what `score` counts over all samples.

    Args:
        lengths: tokens of each sample.
        most_tokens: of a batch, where samples allow it.
        score: from a batch's samples, longest first, to counts and sums over them: scalars, as many in each call.
            Called as often on each rank, as sharded networks need it.
    """
    batches = [batch.samples for batch in micro_batches(lengths, 1, most_tokens)[0]]
    rounds = -(-len(batches) // world.size)
    found: dict[int, Tensor] = {}
    for number in (turn * world.size + world.rank for turn in range(rounds)):
        numbers = torch.stack([one.detach().double() for one in score(batches[number % len(batches)])])
        if number < len(batches):
            found[number] = numbers
    width = len(numbers)
    table = torch.zeros(len(batches), width, dtype=torch.float64, device=world.device)
    for number, numbers in found.items():
        table[number] = numbers
    totals = world.add(table).cpu().numpy()
    return [float(one) for one in np.cumsum(totals, axis=0)[-1]]
