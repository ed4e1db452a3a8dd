"""`python -m sut`: dispatches verbs and turns errors into exit codes. Without a verb, it is `run`."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

from foundation.suggest import did_you_mean
from sut.errors import RunFailedError, UsageError, UserError
from sut.settings.verbs import VERBS


def interrupt(signum: int, frame: FrameType | None) -> None:
    """A signal handler that acts like Ctrl-C."""
    raise KeyboardInterrupt


_CHILD = "child"  # a run that another command started and that exits with it (sut.processes.run_process)
_OURS = ("sut", "backends", "qsl", "accuracy", "submission", "foundation", "assets", "configs")


def command() -> int:
    """The console script `sut`."""
    signal.signal(signal.SIGTERM, interrupt)
    return main(sys.argv[1:])


def main(argv: list[str]) -> int:
    """Run a command line; a user's mistake ends in one message, a defect of ours in a traceback."""
    try:
        return _do(argv)
    except KeyboardInterrupt:
        print("\nerror: interrupted.", file=sys.stderr)
        _leave(3)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        print(
            f"error: {error.name} is not installed here. Type: . .venv/bin/activate, or pip install .", file=sys.stderr
        )
        return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, RunFailedError):
            _leave(error.exit_code)
        return error.exit_code


def _do(argv: list[str]) -> int:
    """Run a verb; its module is imported only now, so a run loads nothing of the packages above `sut`."""
    if argv[:1] == [_CHILD]:
        from sut.processes import run_process

        run_process.end_with_parent()
        return _do(argv[1:])
    verb, rest = ("run", argv) if not argv or argv[0].startswith("-") else (argv[0], argv[1:])
    if verb not in VERBS:
        hint = did_you_mean(verb, VERBS) or f" They are {', '.join(VERBS)}."
        raise UsageError(f"expected a verb, or a flag of a run, found {verb!r}.{hint} See: python -m sut --help")
    return int(import_module(VERBS[verb].module).main(rest))


def _leave(code: int) -> NoReturn:
    """Exit without finalising the interpreter: LoadGen's threads may still wait for answers that will not come."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(command())
