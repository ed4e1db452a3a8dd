"""One optimizer step: forward and backward over a rank's micro-batches, gradients added up, clipped, applied."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from sut.errors import RunFailedError
from training.loop import parallel
from training.loop.dealing import MicroBatch, micro_batches
from training.loop.loss_scale import LossScale
from training.loop.plan import Plan, Precision
from training.loop.task import Drawn, Evaluation, Task
from training.loop.world import World
from training.optimizers import norms

_HALF: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """A step's figures, the same on each rank but for the times; see `events.StepDone`."""

    loss: float
    parts: Mapping[str, float]
    gradient_norm: float | None
    learning_rate: float
    computing_s: float
    drawn: Drawn
    was_interrupted: bool


class Stepper:
    """Network and optimizer of one rank, moved on step by step."""

    def __init__(self, task: Task, plan: Plan, world: World, scale: LossScale) -> None:
        self.task, self.plan, self.world, self.scale = task, plan, world, scale
        self.network = parallel.wrapped(
            task.network, world, plan.parallel, reduced=not plan.clip_before_reduction
        ).train()
        self.optimizer: Optimizer = plan.make_optimizer(task.network)

    def step(self, step: int, trained: int, *, interrupted: bool) -> StepResult:
        """Train the samples of step 1, 2, …

        Args:
            trained: samples before this step, for messages.
            interrupted: whether a signal came on this rank; the result says whether one came on any.

        Raises:
            RunFailedError: NaN or infinity. The weights are those of the step before.
        """
        drawn = self.task.draw(step)
        where = f"step {step}, samples {trained + 1:,} to {trained + len(drawn):,}"
        shares = micro_batches(
            drawn.lengths, self.world.size, self.plan.max_tokens_per_micro_batch, self.plan.micro_batches
        )
        torch.manual_seed(_seed(self.plan.seed, step, self.world.rank))
        start_s = self._clock()
        sums, loading_s = self._backward(drawn, shares[self.world.rank])
        totals = self._totals(sums, interrupted)
        if not math.isfinite(totals[0]):
            raise RunFailedError(f"expected a finite loss, found {totals[0]} at {where}.")
        rate = self.plan.learning_rate(step)
        norm = self._update(where, rate)
        return StepResult(
            loss=totals[0],
            parts=dict(zip(list(sums)[1:], totals[1:-1], strict=True)),
            gradient_norm=norm,
            learning_rate=rate,
            computing_s=self._clock() - start_s - loading_s,
            drawn=drawn,
            was_interrupted=totals[-1] > 0,
        )

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """The task's evaluation of the network as it is."""
        network = parallel.unwrapped(self.network).eval()
        try:
            with autocast(self.plan.precision, self.world):
                return self.task.evaluate(network, self.world)
        finally:
            self.network.train()

    def _clock(self) -> float:
        self.world.synchronise()
        return time.perf_counter()

    def _backward(self, drawn: Drawn, batches: Sequence[MicroBatch]) -> tuple[dict[str, Tensor], float]:
        """This rank's shares of the loss and its parts, by name, and the time spent loading."""
        sums: dict[str, Tensor] = {}
        loading_s = 0.0
        for batch in batches:
            is_last = batch is batches[-1]
            with nullcontext() if is_last else parallel.accumulating(self.network):
                with autocast(self.plan.precision, self.world):
                    loss = self.task.loss(self.network, drawn, batch.samples, self.world)
                weight = self.scale.value if batch.counts else 0.0
                with parallel.repeatable(self.world):
                    torch.autograd.backward(loss.total * weight)
            loading_s += loss.loading_s
            for name, value in (("loss", loss.total), *loss.parts.items()):
                sums[name] = sums.get(name, 0.0) + value.detach().double() * batch.counts
        return sums, loading_s

    def _totals(self, sums: Mapping[str, Tensor], interrupted: bool) -> list[float]:
        """Loss, its parts, and how many ranks had a signal, over all ranks."""
        signals = torch.tensor(float(interrupted), dtype=torch.float64, device=self.world.device)
        found: list[float] = self.world.add(torch.stack([*sums.values(), signals])).tolist()
        return found

    def _update(self, where: str, rate: float) -> float | None:
        """Apply the gradients; returns their norm before clipping, None where fp16 overflowed."""
        gradients = [one.grad for one in self.task.network.parameters() if one.grad is not None]
        if self.plan.clip_before_reduction:
            self._clip_own(gradients)
        norm = norms.global_norm(gradients) / self.scale.value
        found = float(norm)
        if math.isfinite(found):
            norms.clip(gradients, norm, self._most, self.scale.value)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            self.scale.passed()
        elif self.scale.is_dynamic:
            self.scale.overflowed(where)
        else:
            raise RunFailedError(f"expected finite gradients, found a norm of {found} at {where}.")
        self.optimizer.zero_grad()
        return found if math.isfinite(found) else None

    @property
    def _most(self) -> float | None:
        """The largest norm of all gradients; those that were clipped before are not clipped again."""
        return None if self.plan.clip_before_reduction else self.plan.clip_norm

    def _clip_own(self, gradients: list[Tensor]) -> None:
        """The reference's way: each rank clips the mean gradient of its own samples; then they are added up."""
        own = norms.global_norm(gradients) / self.scale.value * self.world.size
        norms.clip(gradients, own, self.plan.clip_norm)
        if self.world.size > 1:
            parallel.reduce(gradients)


def autocast(precision: Precision, world: World) -> AbstractContextManager[None]:
    """The precision's matrix products; weights and updates stay in float32."""
    half = _HALF.get(precision)
    return nullcontext() if half is None else torch.autocast(world.device.type, half)


def _seed(seed: int, step: int, rank: int) -> int:
    """Of dropout: a run that is resumed draws what an uninterrupted one draws."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def peak_memory_bytes(world: World) -> int:
    """The most memory of this process so far: of its GPU, or resident on a CPU."""
    if world.device.type == "cuda":
        return torch.cuda.max_memory_allocated(world.device)
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024
