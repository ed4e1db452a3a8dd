"""The training loop: steps, evaluations, checkpoints, until the target or the last step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from training.loop.events import Listener, Status
from training.loop.task import Task
from training.loop.world import ALONE, World

Precision = Literal["fp32", "bf16", "fp16"]
Parallel = Literal["ddp", "fsdp"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a task is trained, whatever it is.

    Attributes:
        make_optimizer: from the network, wrapped for its ranks, to its optimizer.
        learning_rate: of step 1, 2, …
        max_tokens_per_micro_batch: more tokens of one rank and step are split and their gradients added up.
        clip_norm: of all gradients; None: not clipped. `clip_before_reduction`: on each rank, before they are added up.
        target: of the first value of an evaluation, at which the run ends; None: it ends at max_steps.
        max_samples: an end in addition to max_steps.
        evaluate_every_samples: at the first step that passes each multiple, from `evaluate_from_samples` on, and once
            before the first step; None: after the last step alone.
        checkpoint_every_steps: None: only where the run ends. `kept`: the newest that are kept; the best is kept, too.
    """

    seed: int
    max_steps: int
    make_optimizer: Callable[[nn.Module], Optimizer]
    learning_rate: Callable[[int], float]
    max_tokens_per_micro_batch: int = 16384
    precision: Precision = "fp32"
    parallel: Parallel = "ddp"
    clip_norm: float | None = 1.0
    clip_before_reduction: bool = False
    target: float | None = None
    max_samples: int | None = None
    evaluate_every_samples: int | None = None
    evaluate_from_samples: int = 0
    checkpoint_every_steps: int | None = None
    kept: int = 2


def train(task: Task, plan: Plan, folder: Path, listeners: Sequence[Listener] = (), world: World = ALONE) -> Status:
    """Train until the target, the last step, or a signal; goes on from the newest whole checkpoint in `folder`.

    Args:
        folder: for checkpoints and the model, one for all ranks.
        listeners: called on the first rank; RunBegan is the caller's to send, everything else comes from here.

    Raises:
        RunFailedError: NaN or infinity, no memory or disk left, a damaged shard. The last good checkpoint stays.
    """
    raise NotImplementedError
