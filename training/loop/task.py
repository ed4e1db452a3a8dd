"""What the loop trains: the contract between the loop and a task.

A task owns the network, the data and the loss; the loop owns order, ranks, steps, rates, checkpoints. The loop knows
rows and lengths only, so that another task changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from backends.bert.config import BertConfig
from foundation.arrays import Int32, Int64
from training.loop.world import World


@dataclass(frozen=True)
class Drawn:
    """The samples of one optimizer step, the same on each rank; a task may add what its loss needs.

    Attributes:
        rows: [G] of the task's data, in any order.
        lengths: [G], tokens of each: the cost by which samples are dealt.
    """

    rows: Int64
    lengths: Int32

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Loss:
    """A micro-batch's share of the step's loss.

    Attributes:
        total: scalar with a graph, for `backward`. Sums of terms over the step's totals (of masked tokens, of samples),
            so that the shares of all micro-batches and ranks add up to the step's loss, and their gradients to its.
        parts: shares by name, scalars without a graph, such as "mlm" and "nsp"; the same names in each call.
        loading_s: of the call, spent on the host to read and pack samples: no time of computing.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    loading_s: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """A score of the network, the same on each rank.

    Attributes:
        values: by name, such as mlm_accuracy; the first is compared with the target, and more is better.
        samples: how many were scored.
    """

    values: Mapping[str, float]
    samples: int

    @property
    def score(self) -> float:
        """The value that is compared with the target."""
        return next(iter(self.values.values()))


class Task(Protocol):
    """A network with its data. `loss` and `evaluate` get the network as an argument, since the loop wraps it.

    Attributes:
        config: BERT's geometry, for figures.
        network: what is trained, on the CPU until the loop moves it; its parameters are the trained ones. Layers that
            can be sharded are in an nn.ModuleList.
    """

    config: BertConfig
    network: nn.Module

    def draw(self, step: int) -> Drawn:
        """The samples of step 1, 2, …: a function of the seed, the step and `state()` alone."""

    def loss(self, network: nn.Module, drawn: Drawn, mine: Int64, world: World) -> Loss:
        """The share of the samples `drawn.rows[mine]`, on `world.device`; `network` is `self.network`, wrapped."""

    def evaluate(self, network: nn.Module, world: World) -> Evaluation:
        """The network's scores, spread over the ranks and exact: equal at any world size (`evaluation.spread`).

        All ranks call it, in evaluation mode and without gradients.
        """

    def after_step(self, step: int, parts: Mapping[str, float]) -> None:
        """Called after each step, on each rank, with the step's loss "loss" and its parts: for a curriculum, an
        average of the weights."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold in addition to network, optimizer and step: tensors, and values for JSON."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""

    def write_model(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Write the network in the form of its users, on the first rank.

        Args:
            weights: `network.state_dict()`, whole and on the CPU even where the ranks share the network.
        """
