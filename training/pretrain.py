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
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from foundation import program
from foundation.errors import FAILED, UserError
from foundation.help_formatter import HelpFormatter
from foundation.steps import doing
from sut.errors import UsageError
from sut.processes import directory_lock
from training.launch import flags, worker
from training.launch.plan import Layout
from training.loop import checkpoint_record, config, run_folder, settings_list
from training.loop.settings import PretrainingConfig

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

    Raises as `pretraining_run.work`.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    settings = config.read(options.config, options.set)
    folder = options.output or _new_folder(options.config)
    is_launched = "RANK" in os.environ  # by ours or by another launcher, which says what it does
    with nullcontext() if is_launched else doing("loading PyTorch"):
        from training.tasks import pretraining_run, pretraining_setup
    if is_launched:
        return pretraining_run.work(settings, folder, options)
    gpus = pretraining_run.gpus(settings)
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
    from training.tasks import pretraining_run

    if layout.is_one_process:
        try:
            return pretraining_run.work(settings, folder, options)
        except KeyboardInterrupt:
            _say_how_to_go_on(folder)
            raise
    if layout.nodes.most > 1 and options.output is None:
        raise UsageError("expected a folder that all nodes share. Type: --output DIR, the same on each node")
    if settings.checkpoint_interval_steps is None:
        print(_NO_CHECKPOINTS, file=sys.stderr)
    facts = pretraining_run.facts(settings)
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
