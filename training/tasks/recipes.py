"""Trains a model by a recipe: its records in a run's directory, the model in another.

A run directory that holds checkpoints of the same training is continued, to the weights of an uninterrupted one.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from foundation import atomic_write, freed_memory
from foundation.errors import VALID, UserError
from foundation.typed_json import encode
from sut.processes import directory_lock
from training.loop import announce, faults, run_folder, world
from training.loop.events import Hyperparameters, Status
from training.loop.plan import Plan, Precision
from training.loop.task import Task
from training.loop.trainer import train
from training.loop.world import ALONE, World
from training.network import model_files
from training.records.listening import Listening, listening

_KEPT_BYTES = 2**31 - 1  # blocks that the next batch takes again
_LESS_MEMORY = "--batch with a lower number"
BETAS, EPSILON, WEIGHT_DECAY = (0.9, 0.98), 1e-8, 0.01


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained, by AdamW.

    Attributes:
        rate: the highest learning rate; `share` is that of step 1, 2, … of it.
        evaluate_every: samples between two evaluations.
        checkpoint_every: steps between two checkpoints; None: only where the run ends.
    """

    name: str
    batch: int
    max_steps: int
    rate: float
    warmup_steps: int
    share: Callable[[int], float]
    precision: Precision
    evaluate_every: int
    checkpoint_every: int | None = None

    def plan(self, seed: int) -> Plan:
        """The loop's settings."""
        return Plan(
            seed=seed,
            max_steps=self.max_steps,
            make_optimizer=lambda network: torch.optim.AdamW(
                network.parameters(), self.rate, betas=BETAS, eps=EPSILON, weight_decay=WEIGHT_DECAY, fused=True
            ),
            learning_rate=lambda step: self.rate * self.share(step),
            precision=self.precision,
            evaluate_every_samples=self.evaluate_every,
            checkpoint_every_steps=self.checkpoint_every,
            kept=1,
            less_memory=_LESS_MEMORY,
        )

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What the log holds."""
        return Hyperparameters(
            global_batch_size=self.batch,
            gradient_accumulation_steps=1,
            optimizer="adamw",
            learning_rate=self.rate,
            beta_1=BETAS[0],
            beta_2=BETAS[1],
            epsilon=EPSILON,
            weight_decay=WEIGHT_DECAY,
            max_steps=self.max_steps,
            warmup_steps=self.warmup_steps,
            start_warmup_step=0,
        )


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0; `done` is the share of the way, outside of 0 to 1 the nearer end."""
    return (1 + math.cos(math.pi * min(1.0, max(0.0, done)))) / 2


@contextmanager
def taking_part(options: argparse.Namespace) -> Iterator[World]:
    """This process's part of a run on --device, alone or as torchrun has started it: only the first one speaks.

    Raises:
        UsageError: there are too few GPUs.
        RunFailedError: in the block, no memory is left, or another process is lost.
    """
    with ExitStack() as stack:
        try:
            here = stack.enter_context(world.joined(options.device, typed_as="--device "))
            if not here.is_first:
                silence = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
                stack.enter_context(redirect_stdout(silence))
                stack.enter_context(redirect_stderr(silence))
            yield here
        except UserError:
            raise
        except Exception as error:
            raise faults.explained(error, 0, None, _LESS_MEMORY) from error


def train_model(task: Task, recipe: Recipe, options: argparse.Namespace, folder: Path, here: World = ALONE) -> int:
    """Train in the first process's `folder` and copy the model to --output; returns the exit code."""
    freed_memory.keep(_KEPT_BYTES)
    folder = here.of_first(folder)  # its name may hold the time
    for one in (folder, options.output):  # now, and not after the training
        run_folder.make(one)
    status = _recorded(task, recipe, options, folder, here)
    if status == "interrupted":
        print(f"To go on from here, type the same command with --run-dir {folder}", file=sys.stderr)
        raise KeyboardInterrupt
    if here.is_first:
        _copy(folder, options.output)
    return VALID


def _recorded(task: Task, recipe: Recipe, options: argparse.Namespace, folder: Path, here: World) -> Status:
    """Train; the first process keeps the records."""
    plan = recipe.plan(options.seed)
    if not here.is_first:
        return train(task, plan, folder, (), here)
    lock = directory_lock.held(folder, "training run", "--run-dir", patience_s=0)
    with lock, listening(folder, Listening()) as listeners:
        began = announce.run_began(
            recipe.name,
            plan,
            here,
            folder,
            settings=encode(vars(options)),
            hyperparameters=recipe.hyperparameters,
            started_s=announce.started_s(),
        )
        free = frozenset(vars(options))  # the recipe holds what the weights depend on
        for listener in listeners:
            listener(replace(began, free_settings=free))
        return train(task, plan, folder, listeners, here)


def _copy(folder: Path, output: Path) -> None:
    with run_folder.filled(output):
        for name in (model_files.VOCABULARY, model_files.CONFIG, model_files.WEIGHTS):
            atomic_write.write_bytes(output / name, (folder / name).read_bytes())
