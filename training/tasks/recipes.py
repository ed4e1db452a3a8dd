"""Trains a model by a recipe, in one process: its records in a run's directory, the model in another.

A run directory that holds checkpoints of the same training is continued, to the weights of an uninterrupted one.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from foundation import atomic_write, freed_memory
from foundation.errors import VALID
from foundation.typed_json import encode
from sut.processes import directory_lock
from training.loop import announce, run_folder
from training.loop.events import Hyperparameters
from training.loop.plan import Plan, Precision
from training.loop.task import Task
from training.loop.trainer import train
from training.loop.world import ALONE
from training.network import model_files
from training.records.listening import Listening, listening

_KEPT_BYTES = 2**31 - 1  # blocks that the next batch takes again
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


def train_model(task: Task, recipe: Recipe, options: argparse.Namespace, folder: Path) -> int:
    """Train in `folder` and copy the model to --output; returns the exit code."""
    freed_memory.keep(_KEPT_BYTES)
    for one in (folder, options.output):  # now, and not after the training
        run_folder.make(one)
    plan = recipe.plan(options.seed)
    lock = directory_lock.held(folder, "training run", "--run-dir", patience_s=0)
    with lock, listening(folder, Listening()) as listeners:
        began = announce.run_began(
            recipe.name,
            plan,
            ALONE,
            folder,
            settings=encode(vars(options)),
            hyperparameters=recipe.hyperparameters,
            started_s=announce.started_s(),
        )
        free = frozenset(vars(options))  # the recipe holds what the weights depend on
        for listener in listeners:
            listener(replace(began, free_settings=free))
        status = train(task, plan, folder, listeners)
    if status == "interrupted":
        print(f"To go on from here, type the same command with --run-dir {folder}", file=sys.stderr)
        raise KeyboardInterrupt
    with run_folder.filled(options.output):
        for name in (model_files.VOCABULARY, model_files.CONFIG, model_files.WEIGHTS):
            atomic_write.write_bytes(options.output / name, (folder / name).read_bytes())
    return VALID
