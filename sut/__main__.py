"""`python -m sut`: the verbs, and how each ends. A line that starts with a flag is `run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import NoReturn

from sut.errors import RunFailedError, UserError


def interrupt(signum: int, frame: FrameType | None) -> None:
    """A handler that makes a signal what Ctrl-C is."""
    raise KeyboardInterrupt


def _run(argv: list[str]) -> int:
    from sut.settings import flags

    values, toml = flags.parse(argv)
    from sut.run import command as run_command
    from sut.settings.resolve import resolve

    return run_command.run(resolve(values, toml))


def _build(argv: list[str]) -> int:
    from sut.settings import flags

    values, toml = flags.parse(argv)
    from sut.run import engines
    from sut.settings.resolve import resolve

    print(engines.build(resolve(values, toml)))
    return 0


def _child(argv: list[str]) -> int:
    """A run of another command's, which ends with that command (sut.processes.run_process)."""
    from sut.processes import run_process

    run_process.end_with_parent()
    return main(argv)


def _lazily(door: str) -> Callable[[list[str]], int]:
    """The function behind "module:name", imported when called: a run loads nothing of what lies above `sut`."""
    module, _, name = door.partition(":")
    return lambda argv: int(getattr(import_module(module), name)(argv))


_VERBS: dict[str, Callable[[list[str]], int]] = {
    "run": _run,
    "build": _build,
    "presets": _lazily("sut.settings.presets:main"),
    "kpi": _lazily("sut.commands.kpi.command:main"),
    "ask": _lazily("sut.commands.ask:main"),
    "compare": _lazily("sut.commands.compare.command:main"),
    "fetch": _lazily("sut.commands.fetch:main"),
    "assets": _lazily("sut.commands.assets:main"),
    "doctor": _lazily("sut.commands.doctor.command:main"),
    "sweep": _lazily("sut.commands.sweep.command:main"),
    "replay": _lazily("sut.commands.replay.command:main"),
    "submit": _lazily("submission.submit.command:main"),
    "show": _lazily("submission.show:main"),
    "check": _lazily("submission.check.command:main"),
}
_HIDDEN: dict[str, Callable[[list[str]], int]] = {"child": _child}
_OURS = ("sut", "backends", "qsl", "accuracy", "submission", "foundation", "assets", "configs")


def main(argv: list[str]) -> int:
    """Do what `argv` says; a user's mistake ends in one message, a defect of ours in its traceback."""
    verbs = _VERBS | _HIDDEN
    verb, rest = (argv[0], argv[1:]) if argv and argv[0] in verbs else ("run", argv)
    try:
        return verbs[verb](rest)
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


def _leave(code: int) -> NoReturn:
    """End without tearing the interpreter down: LoadGen's threads may still wait for answers that will not come."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    sys.exit(main(sys.argv[1:]))
