"""`python -m sut`: dispatches verbs and turns errors into exit codes. Without a verb, it is `run`."""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":  # ahead of other imports: an exception would leave a module half imported

    def _quit(*_: object) -> None:
        try:
            os.write(2, b"\nerror: interrupted.\n")
        finally:
            os._exit(3)

    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(_number) is not signal.SIG_IGN:  # as for a script's jobs in the background
            signal.signal(_number, _quit)

import errno
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

from foundation import program, terminal
from foundation.foreign_text import printable, printable_lines, without_secrets
from foundation.suggest import did_you_mean
from sut.errors import FAILED, USAGE, RunFailedError, UsageError, UserError
from sut.settings.verbs import VERBS

_CHILD = "child"  # a run that another command started and that exits with it (sut.processes.run_process)
_OURS = ("sut", "backends", "qsl", "accuracy", "submission", "foundation", "assets", "configs")
_NO_PATH = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)  # what is wrong with a path, not with a disk
_interrupts: list[int] = []  # the signals that came


def interrupt(signum: int, frame: FrameType | None) -> None:
    """A signal handler that acts like Ctrl-C."""
    _interrupts.append(signum)
    raise KeyboardInterrupt


def command() -> NoReturn:
    """The console script `sut`: `main` in a process of its own."""
    for number in program.INTERRUPTS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    code = program.run(lambda: main(sys.argv[1:]), lambda: bool(_interrupts))
    program.ignore_interrupts()  # Python takes a second to end
    sys.exit(code if code or not _is_text_lost() else FAILED)


def _is_text_lost() -> bool:
    """Whether the command makes nothing but text, and that could not be written."""
    sys.stdout.flush()
    row = VERBS.get("".join(sys.argv[1:2]))
    return row is not None and row.is_text_only and terminal.lost_output() is not None


def main(argv: list[str]) -> int:
    """Run a command line; a user's mistake ends in one message; Ctrl-C and a defect of ours are raised."""
    try:
        return _do(argv)
    except ModuleNotFoundError as error:
        if _interrupts or (error.name or "").partition(".")[0] in _OURS:
            raise
        print(
            f"error: {error.name} is not installed here. Type: . .venv/bin/activate, or pip install .", file=sys.stderr
        )
        return USAGE
    except UserError as error:
        print(f"error: {printable_lines(without_secrets(str(error)))}", file=sys.stderr)
        if isinstance(error, RunFailedError):
            program.leave(error.exit_code)  # LoadGen's threads may wait for answers that will not come
        return error.exit_code
    except OSError as error:
        if error.filename is None or error.errno not in _NO_PATH:
            raise
        found = f"{error.strerror} ({printable(os.fsdecode(error.filename))})"
        print(f"error: expected a path that this user can use, found: {found}. Type another path.", file=sys.stderr)
        return USAGE


def _do(argv: list[str]) -> int:
    """Run a verb; its module is imported only now, so a run loads nothing of the packages above `sut`."""
    if argv[:1] == [_CHILD]:
        from sut.processes import run_process

        run_process.end_with_parent()
        return _do(argv[1:])
    if argv[:1] in (["--help"], ["-h"]):
        return _do(["help", *argv[1:]])
    verb, rest = ("run", argv) if not argv or argv[0].startswith("-") else (argv[0], argv[1:])
    if verb not in VERBS:
        hint = did_you_mean(verb, (*VERBS, "--version")) or f" They are {', '.join(VERBS)}."
        raise UsageError(f"expected a verb, or a flag of a run, found {verb!r}.{hint} See: python -m sut --help")
    return int(import_module(VERBS[verb].module).main(rest))


if __name__ == "__main__":
    command()
