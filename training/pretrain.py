"""Trains BERT from scratch or from a checkpoint to a masked-LM accuracy.

python -m training.pretrain --config 1x8 --set data_dir=DIR --output runs/bert
python -m training.pretrain --config 2x8 --set data_dir=DIR --output runs/bert --rendezvous node-a:29500

The second line is typed on each of two nodes, which share the folder of --output. The same command goes on from the
newest checkpoint there. Exit codes: 0 the target was reached, 1 it was not, 2 a configuration that cannot be used, 3
the run failed or was interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from foundation import installation, program
from foundation.errors import FAILED, INVALID, VALID, UserError
from foundation.help_formatter import HelpFormatter
from foundation.typed_json import encode
from sut.errors import UsageError
from sut.processes import directory_lock
from training.launch import flags, worker
from training.launch.plan import Layout
from training.loop import announce, checkpoint_record, config, run_folder, settings_list, trainer, world
from training.loop.events import CheckpointWritten, Event, Listener, RunEnded
from training.loop.settings import FREE, PretrainingConfig
from training.loop.world import World
from training.network import host
from training.records import caches
from training.records.listening import Listening, listening
from training.tasks import pretraining_setup
from training.tasks.pretraining_setup import Opened

_OF_ONE_NODE = {"data_dir", "train_dir", "eval_dir", "init_checkpoint", "vocab"}  # each node may mount them elsewhere
_PATIENCE_S = 1.0  # for a command that was just killed
_NO_CHECKPOINTS = (
    "note: without checkpoint_interval_steps, after a fault the training starts from its first step. "
    "Type: --set checkpoint_interval_steps=1000"
)


def command() -> int:
    """The command as a user types it, or a process of the run that it starts; returns the exit code."""
    return worker.run(main) if worker.is_one() else program.run(_shown)


def _shown() -> int:
    try:
        return main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Train in this process, or start the run's processes and wait for them; returns the exit code.

    Raises as `work`.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    settings = config.read(options.config, options.set)
    folder = options.output or _new_folder(options.config)
    if "RANK" in os.environ:  # a launcher has started this process, ours or another one
        return work(settings, folder, options)
    gpus = torch.cuda.device_count() if settings.device != "cpu" else 0
    layout = flags.layout_of(options, settings.nodes, settings.devices_per_node, gpus)
    if note := layout.note(settings.nodes, settings.devices_per_node, settings.global_batch_size):
        print(note, file=sys.stderr)
    if layout.nodes.most > 1:  # a lock could outlive a lost node
        return _start(settings, folder, options, layout, given)
    pretraining_setup.open_inputs(settings)  # what cannot be used leaves no folder
    run_folder.make(folder)
    with directory_lock.held(folder, "training run", "--output", _PATIENCE_S):
        return _start(settings, folder, options, layout, given)


def _start(
    settings: PretrainingConfig, folder: Path, options: argparse.Namespace, layout: Layout, given: Sequence[str]
) -> int:
    """Train in this process, or start this node's."""
    if layout.is_one_process:
        try:
            return work(settings, folder, options)
        except KeyboardInterrupt:
            _say_how_to_go_on(folder)
            raise
    if layout.nodes.most > 1 and options.output is None:
        raise UsageError("expected a folder that all nodes share. Type: --output DIR, the same on each node")
    if settings.checkpoint_interval_steps is None:
        print(_NO_CHECKPOINTS, file=sys.stderr)
    facts = _facts(settings)
    from training.launch import start  # its import changes how torch logs

    run_folder.make(folder)
    process = [sys.executable, "-m", "training.pretrain", *given, "--output", str(folder)]
    code = start.run(layout, process, folder, facts)
    if code == FAILED and options.output is None:
        _say_how_to_go_on(folder)
    return code


def _say_how_to_go_on(folder: Path) -> None:
    if checkpoint_record.newest_first(folder):
        print(f"To go on from the last checkpoint, type the same command with --output {folder}", file=sys.stderr)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _facts(settings: PretrainingConfig) -> dict[str, str]:
    """What must be equal on all nodes, by name: what the processes would refuse is refused here, before they start."""
    found = pretraining_setup.open_inputs(settings)
    values = {name: str(value) for name, value in encode(settings).items() if name not in _OF_ONE_NODE}
    counts = {"training samples": f"{len(found.training):,}", "evaluation samples": f"{len(found.evaluation):,}"}
    return {"version": installation.version(), "torch": torch.__version__, **values, **counts}


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


def _new_folder(name: str) -> Path:
    return Path("runs") / f"pretraining-{Path(name).stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument(
        "--config", required=True, metavar="NAME", help=f"{', '.join(config.shipped())}, or a TOML file"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting in place of the file's; repeatable"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="of the run (default: a new one below runs/)")
    parser.add_argument(
        "--clear-caches", action="store_true", help="drop cached pages of the data before the run, and log it if done"
    )
    parser.add_argument("--organisation", metavar="NAME", help="who submits, in the MLLOG lines")
    parser.add_argument("--platform", metavar="NAME", help="the system's name in the MLLOG lines")
    parser.add_argument("--settings", action=_ShowSettings, nargs=0, help="list all settings, and exit")
    flags.add(parser)
    return parser


class _ShowSettings(argparse.Action):
    """Like --help."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(settings_list.lines())
        parser.exit()


if __name__ == "__main__":
    sys.exit(command())
