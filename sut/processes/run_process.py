"""A run in a process of its own, which does not outlive the command that wants it: a submission or a sweep.

LoadGen runs one test well in a process and cannot be told to stop, so each run gets a process: `python -m sut` with the
same flags, but for a thread that reads standard input, the far end of which that command holds. When it ends, so does
the run, as after Ctrl-C.
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

_GRACE_S = 15.0  # for a run that is told to end: it lets LoadGen write its logs


def run(flags: Sequence[str], lock: int, console: Path | None = None) -> int:
    """Run `python -m sut` with these flags to its end; returns its exit code, below 0 that of a signal.

    Args:
        lock: a file descriptor that the run keeps open for as long as it lives.
        console: the file that takes all it prints; None: it is shown.
    """
    command = [sys.executable, "-m", "sut.processes.run_process", *flags]
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


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _main(argv: list[str]) -> int:
    from sut import __main__ as sut

    signal.signal(signal.SIGTERM, sut.interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return sut.main(argv)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
