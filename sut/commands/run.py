"""`python -m sut run`, and every command line that starts with a flag: one run under LoadGen."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

from foundation.typed_json import encode
from sut.commands.help import EXIT_CODES
from sut.errors import VALID
from sut.settings import flags, toml_text
from sut.settings.parser import PROG, Parser, new_parser, two_columns
from sut.settings.resolve import default_log_dir, resolve
from sut.settings.settings import RunConfig

_EXAMPLES = {
    "": "a trial run of the demo",
    "--mode accuracy": "with exact_match and F1",
    "--task sst2": "sentiment, not questions",
    "--scenario Server --backend pytorch": "a limit on the latency",
    "--model DIR --dataset dev-v1.1.json": "your own model and data",
}


def main(argv: Sequence[str]) -> int:
    """The verb `run`."""
    options = parser().read(argv)
    config = resolve(*flags.split(options, "run"))
    code: int = options.do(config)
    return code


def _run(config: RunConfig) -> int:
    from sut.running import command  # only now, so that mistakes are reported without loading numpy

    return command.run(config)


def _print_config(config: RunConfig) -> int:
    print(toml_text.of_run(config), end="")
    return VALID


def _dry_run(config: RunConfig) -> int:
    from sut.running import dry_run

    dry_run.show(config)
    return VALID


def _run_as_json(config: RunConfig) -> int:
    """The table goes to standard error, and the record to standard output as one line."""
    from sut.record import run_record

    logs = config.log_dir or default_log_dir(config)
    with redirect_stdout(sys.stderr):
        code = _run(replace(config, log_dir=logs))
    print(json.dumps(encode(run_record.read(logs))))
    return code


# Flag → (what it does in place of a run and its table, its help).
_FLAGS: dict[str, tuple[Callable[[RunConfig], int], str]] = {
    "--dry-run": (_dry_run, "check everything, print what would be run, and run nothing"),
    "--print-config": (_print_config, "print the settings as TOML for --config, and run nothing"),
    "--json": (_run_as_json, "print run.json on one line; the table goes to standard error"),
}


def parser() -> Parser:
    """The command line of `run`."""
    examples = two_columns({f"{PROG} {words}".rstrip(): about for words, about in _EXAMPLES.items()})
    found = new_parser("run", f"{examples}\n\nOther verbs: {PROG} --help\n\n{EXIT_CODES}")
    found.usage = f"{PROG} [run] [FLAGS]"
    found.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    instead = found.add_mutually_exclusive_group()
    for flag, (do, about) in _FLAGS.items():
        instead.add_argument(flag, action="store_const", const=do, dest="do", default=_run, help=about)
    flags.add(found, "run")
    return found


class _Version(argparse.Action):
    """Reads the version only when it is requested, which keeps --help fast."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from foundation import installation

        print(f"{installation.NAME} {installation.version()}")
        parser.exit()
