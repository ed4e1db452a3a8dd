"""Starts a run in its own process, which exits with the command that started it: a submission, a sweep, a comparison.

LoadGen runs one test in a process reliably and has no call that stops it, so each run gets a process: `python -m sut`
with the same flags, and a thread that reads standard input. The command holds the other end; when the command exits,
the run ends as after Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

CHILD = "child"  # the verb of such a run, which `sut.__main__` does not list
_GRACE_S = 15.0  # how long an interrupted run may take to let LoadGen write its logs


def run(flags: Sequence[str], lock: int, console: Path | None = None) -> int:
    """Run `python -m sut` with these flags to its end; returns its exit code (negative: killed by that signal).

    Args:
        lock: a file descriptor that the run keeps open until it exits.
        console: the file for its output; None: the terminal.
    """
    command = [sys.executable, "-m", "sut", CHILD, *flags]
    with (
        console.open("wb") if console else nullcontext() as printed,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=printed, stderr=printed, pass_fds=[lock]) as process,
    ):
        try:
            return process.wait()
        except KeyboardInterrupt:
            assert process.stdin is not None
            process.stdin.close()
            _wait(process)
            raise


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def end_with_parent() -> None:
    """In such a run: raise SIGTERM in this process when the other end of standard input is closed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
