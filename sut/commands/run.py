"""`python -m sut run`, and every command line that starts with a flag: one run under LoadGen."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sut.commands.help import EXIT_CODES
from sut.settings import flags
from sut.settings.parser import PROG, Parser, new_parser, two_columns
from sut.settings.resolve import resolve

_EXAMPLES = {
    "": "a trial run of the demo",
    "--mode accuracy": "with exact_match and F1",
    "--task sst2": "sentiment, not questions",
    "--scenario Server --backend pytorch": "a limit on the latency",
    "--model DIR --dataset dev-v1.1.json": "your own model and data",
}


def main(argv: Sequence[str]) -> int:
    """The verb `run`."""
    config = resolve(*flags.split(parser().read(argv), "run"))
    from sut.running import command  # only now, so that mistakes are reported without loading numpy

    return command.run(config)


def parser() -> Parser:
    """The command line of `run`."""
    examples = two_columns({f"{PROG} {words}".rstrip(): about for words, about in _EXAMPLES.items()})
    found = new_parser("run", f"{examples}\n\nOther verbs: {PROG} --help\n\n{EXIT_CODES}")
    found.usage = f"{PROG} [run] [FLAGS]"
    found.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    flags.add(found, "run")
    return found


class _Version(argparse.Action):
    """Reads the version only when it is requested, which keeps --help fast."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from foundation import installation

        print(f"{installation.NAME} {installation.version()}")
        parser.exit()
