"""What changes a network at certain steps of its training: pruning, int8's arithmetic.

A phase is a module of the network, so that a checkpoint holds its state as it holds the weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Phase(nn.Module):
    """Changes a network after its steps, from one on to another.

    Args:
        name: under which it is added to the network.
        last_step: after which the network has the form that the training is for.
    """

    done: Tensor

    def __init__(self, network: nn.Module, name: str, last_step: int) -> None:
        super().__init__()
        self.last_step = last_step
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))
        network.add_module(name, self)

    @property
    def is_final(self) -> bool:
        """Whether weights may be kept as the result."""
        return int(self.done) >= self.last_step

    def after_step(self, step: int) -> None:
        """Change the network after step 1, 2, …; step 0 is before the first."""
        self.done.fill_(step)

    def unused(self) -> Tensor | float:
        """0, from parameters that no product uses yet: with it in the loss, the optimizer's state is always whole."""
        return 0.0

    def resumed(self) -> None:
        """A checkpoint was read into the network, and with it this phase's state."""

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is written of a network's state; without what only the training needs."""
        raise NotImplementedError
