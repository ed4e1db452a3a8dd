"""The processes of a run: this one's rank, how many there are, its device, and sums over all of them.

One process needs no process group: a sum over one is the number itself, and nothing of torch.distributed is started.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class World:
    """One process of a run.

    Attributes:
        nodes: machines that take part.
        restart: how often the launcher has started the workers again; 0 in the first life.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    nodes: int = 1
    restart: int = 0
    device: torch.device = field(default=CPU)

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for the run: its listeners are called, it writes the model."""
        return self.rank == 0

    def add(self, numbers: Tensor) -> Tensor:
        """`numbers` of any shape and dtype, summed over the ranks in place; each rank gets the same bits."""
        if self.size > 1:
            distributed.all_reduce(numbers)
        return numbers


ALONE = World()
