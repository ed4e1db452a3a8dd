"""One process of a pre-training run, from its settings to its exit code.

It computes, so it imports PyTorch; `training.pretrain`, which reads the flags, loads it only then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from foundation import installation
from foundation.errors import INVALID, VALID, UserError
from foundation.typed_json import encode
from training.launch import worker
from training.loop import announce, run_folder, trainer, world
from training.loop.events import CheckpointWritten, Event, Listener, RunEnded
from training.loop.settings import FREE, PretrainingConfig
from training.loop.world import World
from training.network import host
from training.records import caches
from training.records.listening import Listening, listening
from training.tasks import pretraining_setup
from training.tasks.pretraining_setup import Opened

_OF_ONE_NODE = {"data_dir", "train_dir", "eval_dir", "init_checkpoint", "vocab"}  # each node may mount them elsewhere


def gpus(settings: PretrainingConfig) -> int:
    """How many GPUs of this machine the run may use."""
    return torch.cuda.device_count() if settings.device != "cpu" else 0


def facts(settings: PretrainingConfig) -> dict[str, str]:
    """What must be equal on all nodes, by name: what the processes would refuse is refused here, before they start."""
    found = pretraining_setup.open_inputs(settings)
    values = {name: str(value) for name, value in encode(settings).items() if name not in _OF_ONE_NODE}
    counts = {"training samples": f"{len(found.training):,}", "evaluation samples": f"{len(found.evaluation):,}"}
    return {"version": installation.version(), "torch": torch.__version__, **values, **counts}


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def work(settings: PretrainingConfig, folder: Path, options: argparse.Namespace) -> int:
    """One process of the run: the whole of it, or one that a launcher has started.

    Raises:
        UserError: the run failed.
        KeyboardInterrupt: it was interrupted, after a checkpoint.
    """
    host.prepare()
    with world.joined(settings.device, settings.timeout_s) as here:
        cleared = None
        if options.clear_caches and here.local_rank == 0:
            cleared = caches.clear([path for path in pretraining_setup.read_paths(settings) if path.exists()])
        found = pretraining_setup.open_inputs(settings)  # before anything is written
        run_folder.make(folder)
        chosen = Listening(
            organisation=options.organisation,
            platform=options.platform,
            cleared=cleared,
            notices=_notices(settings, options.config),
        )
        if not here.is_first:
            return train(settings, found, folder, here, ())
        with listening(folder, chosen) as listeners:
            return train(settings, found, folder, here, (*listeners, _report_checkpoint))


def _notices(settings: PretrainingConfig, name: str) -> list[str]:
    """What is said with every figure of the run."""
    found = ["started from random weights"] if settings.init_checkpoint is None else []
    return [*found, *(["a demo: a small model and little text"] if name == "demo" else [])]


def train(settings: PretrainingConfig, found: Opened, folder: Path, here: World, listeners: Sequence[Listener]) -> int:
    """Train on this rank; returns the exit code. Raises as `work`."""
    plan = pretraining_setup.plan_of(settings)
    began = announce.run_began(
        "bert",
        plan,
        here,
        folder,
        settings=encode(settings),
        hyperparameters=pretraining_setup.hyperparameters_of(settings),
        started_s=announce.started_s(),
        division="closed" if settings.division == "closed" else "open",
    )
    for listener in listeners:
        listener(replace(began, free_settings=FREE))
    for event in pretraining_setup.data_events(settings, found):
        for listener in listeners:
            listener(event)
    try:
        task = pretraining_setup.task_of(settings, found, _say if here.is_first else lambda _: None)
    except UserError as error:
        for listener in listeners:
            listener(RunEnded(status="failed", step=0, samples=0, reason=str(error)))
        raise
    status = trainer.train(task, plan, folder, listeners, here)
    if status == "interrupted":
        raise KeyboardInterrupt
    return VALID if status == "reached" else INVALID


def _report_checkpoint(event: Event) -> None:
    """The launcher counts restarts from the newest checkpoint."""
    if isinstance(event, CheckpointWritten):
        worker.wrote_checkpoint(event.step)
