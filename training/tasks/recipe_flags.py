"""The flags of the commands that train by a recipe, and how one starts.

PyTorch takes seconds to load, so flags are read and checked before; then a line says what is being done.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from foundation import program
from foundation.errors import USAGE, UserError
from foundation.steps import doing
from sut.errors import UsageError
from training.launch.endings import ProcessLostError

BATCH = 32  # samples of a step of the embedded models


def add_flags(parser: argparse.ArgumentParser, name: str) -> None:
    """The flags that every embedded model has."""
    parser.add_argument("--output", type=Path, default=Path("assets") / name, help="for the model's three files")
    parser.add_argument(
        "--run-dir",
        type=Path,
        help="records and checkpoints; one with checkpoints is continued (default: a new one below runs/)",
    )
    parser.add_argument("--vocab", type=Path, metavar="FILE", help="a vocabulary to keep (default: learn it again)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)


def command(work: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Do the work of a command with as many threads as it was given; returns the exit code."""
    try:
        require_least(options, {"threads": 1, "seed": 0})
        return work(options)
    except UserError as error:
        if message := said(error, os.environ):
            print(message, file=sys.stderr)
        if "RANK" in os.environ:
            program.leave(error.exit_code)  # the end of a process group would wait for the others
        return error.exit_code


def said(error: UserError, environment: Mapping[str, str]) -> str | None:
    """What a process prints of an error; None: another one says it.

    Of the processes that torchrun starts, each on a machine finds the same in flags and files; a fault is one's own.
    """
    rank, is_first = environment.get("RANK", "0"), environment.get("LOCAL_RANK", "0") == "0"
    if not is_first and (error.exit_code == USAGE or isinstance(error, ProcessLostError)):
        return None
    return f"error: {error}" if rank == "0" else f"error: rank {rank}: {error}"


@contextmanager
def loading(threads: int) -> Iterator[None]:
    """Say that PyTorch is loaded, in which the block imports what computes with it."""
    with doing("loading PyTorch") if os.environ.get("RANK", "0") == "0" else nullcontext():
        yield
        import torch

        torch.set_num_threads(threads)


def require_least(options: argparse.Namespace, least: Mapping[str, int]) -> None:
    """Raise UsageError for a number below its least one; None was not given."""
    for name, lowest in least.items():
        found = getattr(options, name)
        if found is not None and found < lowest:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"expected {flag} of {lowest} or more, found {found}. Type: {flag} {lowest}")


def run_dir(options: argparse.Namespace, name: str) -> Path:
    """The directory that was given, or a new one."""
    return options.run_dir or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
