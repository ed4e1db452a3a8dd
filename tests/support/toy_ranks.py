"""One rank of two: trains the toy task in all ways at once and writes what came out, for test_parallel.

python -m torch.distributed.run --standalone --nproc-per-node 2 tests/support/toy_ranks.py DIR
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from toy_task import ToyTask

from training.loop import events
from training.loop.events import Event
from training.loop.parallel import whole_weights
from training.loop.plan import Plan
from training.loop.trainer import train
from training.loop.world import ALONE, World, joined
from training.optimizers.lamb import Lamb, parameter_groups
from training.optimizers.schedule import Schedule

PLAN = Plan(
    seed=3,
    max_steps=6,
    make_optimizer=lambda network: Lamb(parameter_groups(network, 0.01)),
    learning_rate=Schedule(base=0.03, warmup_steps=2, max_steps=20),
    max_tokens_per_micro_batch=30,
    evaluate_every_samples=40,
    checkpoint_every_steps=4,
)
WAYS = {
    "ddp": PLAN,
    "ddp, more micro-batches": replace(PLAN, micro_batches=3),
    "fsdp": replace(PLAN, parallel="fsdp"),
    "fsdp, more micro-batches": replace(PLAN, parallel="fsdp", micro_batches=3),
    "added up by hand": replace(PLAN, clip_before_reduction=True, clip_norm=1000.0),  # which clips nothing
    "clipped before": replace(PLAN, clip_before_reduction=True, clip_norm=0.5),
}


def run(way: str, folder: Path, world: World = ALONE, *, batch: int = 12, max_steps: int = 6) -> dict[str, Any]:
    """The end weights, and what was evaluated on the way."""
    found: list[Event] = []
    task = ToyTask(batch=batch)
    train(task, replace(WAYS[way], max_steps=max_steps), folder / way, [found.append], world)
    done = [event for event in found if isinstance(event, events.EvaluationDone)]
    steps = [event for event in found if isinstance(event, events.StepDone)]
    return {
        "weights": whole_weights(task.network),
        "evaluations": [dict(event.values) for event in done],
        "losses": [event.loss for event in steps],
        "norms": [event.gradient_norm for event in steps],
        "samples": [event.samples for event in steps],
        "resumed": [event.step for event in found if isinstance(event, events.Resumed)],
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined("cpu", 60) as world:
        results = {way: run(way, folder, world) for way in WAYS}
        results["one sample"] = run("ddp", folder / "one", world, batch=1)  # none for the second rank
        results["fsdp of one"] = run("fsdp", folder / "whole", world, max_steps=8)  # goes on from one rank's checkpoint
        if world.is_first:
            torch.save(results, folder / "results.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
