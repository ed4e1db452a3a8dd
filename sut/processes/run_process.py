"""Starts a run in its own process, which exits with the command that started it: a submission, a sweep, a comparison.

LoadGen runs one test in a process reliably and has no call that stops it, so each run gets a process: `python -m sut`
with the same flags, and a thread that reads standard input. The command holds the other end; when the command exits,
the run ends as after Ctrl-C.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from foundation import live_line
from sut import import_path
from sut.errors import UsageError

CHILD = "child"  # the verb of such a run, which `sut.__main__` does not list
_BECOMES = "MLPERF_BERT_SUT_LOGS_BECOME"  # in the environment of such a run
_GRACE_S = 15.0  # how long an interrupted run may take to let LoadGen write its logs


def run(
    flags: Sequence[str],
    lock: int,
    console: Path | None = None,
    becomes: Path | None = None,
    most_s: float | None = None,
) -> int:
    """Run `python -m sut` with these flags to its end; returns its exit code (negative: killed by that signal).

    Args:
        lock: a file descriptor that the run keeps open until it exits.
        console: the file for its output; None: the terminal.
        becomes: what its log directory will be called after it; see `shown`.
        most_s: after this time it is ended as after Ctrl-C; None: never.
    """
    command = [sys.executable, "-m", "sut", CHILD, *flags]
    with (
        console.open("wb") if console else nullcontext() as printed,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=printed, stderr=printed, pass_fds=[lock], env=_environment(becomes)
        ) as process,
    ):
        try:
            return process.wait(most_s)
        except subprocess.TimeoutExpired:
            return _end(process)
        except KeyboardInterrupt:
            _end(process)
            raise


def captured(
    flags: Sequence[str],
    show: Callable[[str], object] | None = None,
    *,
    columns: int | None = None,
    lock: int | None = None,
    becomes: Path | None = None,
) -> tuple[int, str]:
    """Run `python -m sut` with these flags to its end, without a terminal; returns its exit code and standard error.

    Args:
        show: gets each line of standard error when it is written, and each state of a live line.
        columns: the width of live lines (`foundation.live_line`), states of which end with a carriage return and are
            not in the text that is returned; None: states are lines.
        lock, becomes: as for `run`.
    """
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "sut", CHILD, *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[] if lock is None else [lock],
        env=_environment(becomes, columns) | {"PYTHONPATH": _with_home(os.environ.get("PYTHONPATH"))},
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        try:
            with io.TextIOWrapper(process.stderr, encoding="utf-8", errors="replace", newline="") as written:
                for line in written:
                    if not line.endswith("\r"):
                        lines.append(line)
                    if show:
                        show(line)
            return process.wait(), "".join(lines)
        except BaseException:
            _end(process)
            raise


def _with_home(path: str | None) -> str:
    """PYTHONPATH for a process that must find our packages, which a notebook may have put on its own path."""
    is_installed = str(import_path.HOME) in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return os.pathsep.join(filter(None, [path, "" if is_installed else str(import_path.HOME)]))


def check(flags: Sequence[str]) -> None:
    """Raise UsageError if `python -m sut run` with these flags, without the verb, refuses them in its own process.

    What this process takes, such as a backend that a script has added, another one need not know.
    """
    command = [sys.executable, "-m", "sut", "run", "--print-config", *flags]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        found = (done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1].removeprefix("error: ")
        raise UsageError(f"expected settings that each run takes, in a process of its own, found: {found}")


def _environment(becomes: Path | None, columns: int | None = None) -> dict[str, str]:
    ours = {_BECOMES: str(becomes) if becomes else "", live_line.WIDTH: str(columns or "")}
    return os.environ | ours


def shown(logs: Path) -> Path:
    """The log directory of this run as it is printed: the name that the command which started the run gives it."""
    return Path(os.environ.get(_BECOMES) or logs)


def _end(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin is not None
    process.stdin.close()
    try:
        return process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def end_with_parent() -> None:
    """In such a run: raise SIGTERM in this process when the other end of standard input is closed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
