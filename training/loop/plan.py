"""How a task is trained: what the loop must know, whatever it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from training.loop.parallel import Parallel

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of the loop.

    Attributes:
        make_optimizer: from the network, wrapped for its ranks, to its optimizer.
        learning_rate: of step 1, 2, …
        max_tokens_per_micro_batch: more tokens of one rank and step are split and their gradients added up;
            `micro_batches`: at least as many a rank and step.
        clip_norm: of all gradients; None: not clipped. `clip_before_reduction`: on each rank, before they are added up.
        target: of the first value of an evaluation, at which the run ends; None: it ends at max_steps.
        max_samples: an end in addition to max_steps.
        evaluate_every_samples: at the first step that passes each multiple, from `evaluate_from_samples` on; in
            addition before the first step and after the last. None: only then.
        checkpoint_every_steps: and after each evaluation; None: only where the run ends. `kept`: the newest that are
            kept, in addition to the best.
        less_memory: what a user types where memory is short.
    """

    seed: int
    max_steps: int
    make_optimizer: Callable[[nn.Module], Optimizer]
    learning_rate: Callable[[int], float]
    max_tokens_per_micro_batch: int = 16384
    micro_batches: int = 1
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
    less_memory: str = "--set max_tokens_per_micro_batch= with a lower number"
