"""`python -m sut diff A B`: what differs between two runs, and what it did to their figures.

sut diff runs/before runs/after
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sut.record import run_record
from sut.record.run_record import RunRecord
from sut.reporting.differences import Difference, content, differences, sections
from sut.settings.parser import Parser, new_parser

_MORE = "Compared: settings, machine, versions, files, the plan of cores, and every figure. Exit code: 0."


def main(argv: Sequence[str]) -> int:
    """Print the differences.

    Raises:
        UsageError: one of them is not a run.
    """
    options = parser().read(argv)
    first, second = (run_record.read(run) for run in (options.a, options.b))
    if options.json:
        print(json.dumps(content(first, second, ("a", "b")), indent=2))
    else:
        _print(first, second)
    return 0


def parser() -> Parser:
    """The command line of `diff`."""
    found = new_parser("diff", _MORE)
    for name in ("a", "b"):
        found.add_argument(name, type=Path, metavar=name.upper(), help="a run's log directory, or its run.json")
    found.add_argument("--json", action="store_true", help="JSON instead of text")
    return found


def _differences(first: RunRecord, second: RunRecord) -> list[Difference]:
    return differences(first, second, sections(first, second))


def _print(first: RunRecord, second: RunRecord) -> None:
    from sut.commands.replay.table import show_differences, show_figures

    among = sections(first, second)
    show_differences(_differences(first, second), among)
    show_figures(first, second, headings=("A", "B"))
