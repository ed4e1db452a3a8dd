"""The toy task in the training loop under the launcher, as a command, with faults where a test asks for them.

    python -m toy_run FOLDER --steps 24 --processes 2 --fault 1:7:kill

A fault is RANK:STEP:KIND and happens once, with RANK:STEP:KIND:always each time that step is done; RANK may be "any".
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from toy_task import ToyTask

from foundation import program
from foundation.errors import INVALID, VALID
from training.launch import flags, start, worker
from training.launch.plan import Layout
from training.loop import events, trainer, world
from training.loop.plan import Plan
from training.optimizers.lamb import Lamb, parameter_groups
from training.optimizers.schedule import Schedule

BATCH = 12
CHECKPOINT_EVERY = 3


def _raise() -> None:
    raise ValueError("a defect")


def _hold() -> None:
    """Wait for a signal, which the loop looks at in its next step."""
    while getattr(getattr(signal.getsignal(signal.SIGTERM), "__self__", None), "signal", None) is None:
        time.sleep(0.02)


def _kill_node() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    _signal(signal.SIGKILL)()


def _signal(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


KINDS: dict[str, Callable[[], None]] = {
    "kill": _signal(signal.SIGKILL),
    "stop": _signal(signal.SIGSTOP),
    "exit": lambda: os._exit(7),
    "raise": _raise,
    "kill-launcher": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "interrupt-launcher": lambda: os.kill(os.getppid(), signal.SIGINT),
    "kill-node": _kill_node,
    "hold": _hold,
}


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, Layout]:
    parser = argparse.ArgumentParser(prog="python -m toy_run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--broken-at", type=int, default=0, help="a step with a loss that is NaN")
    parser.add_argument("--target", type=float)
    parser.add_argument("--silence", type=float, default=60.0, help="after which a process is lost, in seconds")
    parser.add_argument("--configuration", default="toy")
    flags.add(parser)
    args = parser.parse_args(words)
    return args, flags.layout_of(args, 1, 2, gpus=0)


def launch(words: Sequence[str]) -> int:
    """Start the processes of this node; returns the run's exit code."""
    args, layout = parse(words)
    args.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "toy_run", *words]
    return start.run(layout, command, args.folder, {"configuration": args.configuration})


def plan_of(args: argparse.Namespace) -> Plan:
    """Small steps, each third of them with a checkpoint; all are kept."""
    return Plan(
        seed=3,
        max_steps=args.steps,
        make_optimizer=lambda network: Lamb(parameter_groups(network, 0.01)),
        learning_rate=Schedule(base=0.03, warmup_steps=2, max_steps=1000),
        max_tokens_per_micro_batch=1000,
        target=args.target,
        checkpoint_every_steps=CHECKPOINT_EVERY,
        kept=1000,
    )


class FaultyTask(ToyTask):
    """The toy task with the faults of a command."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(batch=BATCH, broken_at=args.broken_at)
        self.args = args

    def after_step(self, step: int, parts: Mapping[str, float]) -> None:
        super().after_step(step, parts)
        for fault in self.args.fault:
            rank, at, *_ = fault.split(":")
            if rank in (os.environ["RANK"], "any") and int(at) == step:
                _happen(self.args.folder, fault)


def train(words: Sequence[str]) -> int:
    """What each process does."""
    args, _ = parse(words)
    torch.set_num_threads(1)
    with world.joined("cpu", args.silence) as joined:
        status = trainer.train(FaultyTask(args), plan_of(args), args.folder, [_listen], joined)
    if status == "interrupted":
        raise KeyboardInterrupt
    return VALID if status == "reached" else INVALID


def _listen(event: events.Event) -> None:
    if isinstance(event, events.CheckpointWritten):
        worker.wrote_checkpoint(event.step)
    if isinstance(event, events.Resumed):
        print(f"resumed at step {event.step}, {event.samples} samples", flush=True)


def _happen(folder: Path, fault: str) -> None:
    _, _, kind, *always = fault.split(":")
    happened = folder / f"happened-{fault.replace(':', '-')}"
    if always or not happened.exists():
        happened.touch()
        KINDS[kind]()


if __name__ == "__main__":
    main = (lambda: train(sys.argv[1:])) if worker.is_one() else (lambda: launch(sys.argv[1:]))
    sys.exit(worker.run(main) if worker.is_one() else program.run(main))
