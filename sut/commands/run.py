"""`python -m sut run`, and every command line that starts with a flag: one run under LoadGen."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sut.settings import flags
from sut.settings.parser import PROG, Parser, new_parser
from sut.settings.resolve import resolve
from sut.settings.verbs import VERBS

_EXAMPLES = {
    "": "a trial run of the demo",
    "--mode accuracy": "with exact_match and F1",
    "--task sst2": "sentiment, not questions",
    "--scenario Server --backend pytorch": "a limit on the latency",
    "--model DIR --dataset dev-v1.1.json": "your own model and data",
}
_EXIT_CODES = "Exit code: 0 valid, 1 invalid or accuracy missed, 2 usage, 3 failed."


def main(argv: Sequence[str]) -> int:
    """The verb `run`."""
    config = resolve(*flags.split(parser().read(argv), "run"))
    from sut.run import command  # only now, so that mistakes are reported without loading numpy

    return command.run(config)


def parser() -> Parser:
    """The command line of `run`."""
    verbs = _table({name: row.help for name, row in VERBS.items()})
    examples = _table({f"{PROG} {words}".rstrip(): about for words, about in _EXAMPLES.items()})
    found = new_parser("run", f"{examples}\n\nVerbs; `run` may be left out before a flag:\n{verbs}\n\n{_EXIT_CODES}")
    found.usage = f"{PROG} [run] [FLAGS]"
    found.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    flags.add(found, "run")
    return found


def _table(rows: dict[str, str]) -> str:
    """Two columns, within 80 characters: argparse does not wrap a description."""
    width = max(map(len, rows))
    return "\n".join(f"  {words:<{width}}  {about}" for words, about in rows.items())


class _Version(argparse.Action):
    """Reads the version only when it is requested, which keeps --help fast."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from sut.machine import project

        print(f"{project.NAME} {project.version()}")
        parser.exit()
