"""A dry run: every step in this process, on the CPU, in a second each; what needs a GPU is only checked.

Own steps run with the kernels' twins at small sizes. Of a run of `sut` the flags are read and resolved, of pytest and
of tools nothing.
"""

from __future__ import annotations

import importlib
import io
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout

import torch

from benchmarks.gpu_first_run.steps import Ended, Step


def run(steps: Sequence[Step], report: Callable[[Ended], None]) -> None:
    """Run the steps one after the other, in one thread: small products spend more time on sharing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for step in steps:
            report(_ended(step))
    finally:
        torch.set_num_threads(threads)


def _ended(step: Step) -> Ended:
    out, err, start_s = io.StringIO(), io.StringIO(), time.monotonic()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = next(call for start, call in _CALLS.items() if step.module.startswith(start))(step)
        except Exception:  # noqa: BLE001 - as a process would end
            traceback.print_exc()
            code = 1
    seconds = time.monotonic() - start_s
    return Ended(step=step, code=code, seconds=seconds, out=out.getvalue(), err=err.getvalue())


def _own(step: Step) -> int:
    code: int = importlib.import_module(step.module).main([*step.arguments, "--dry-run"])
    return code


def check_flags(arguments: Sequence[str]) -> None:
    """Raises UsageError if a run would refuse these flags at once."""
    from sut.commands import run as command
    from sut.settings import flags
    from sut.settings.resolve import resolve

    resolve(*flags.split(command.parser().read(arguments), "run"))


def _sut(step: Step) -> int:
    check_flags(step.arguments)
    print("flags are right")
    return 0


def _checked(step: Step) -> int:
    print("not run")
    return 0


_CALLS: dict[str, Callable[[Step], int]] = {__package__: _own, "sut": _sut, "": _checked}  # by start of the module
