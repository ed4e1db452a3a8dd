"""`python -m sut runs [DIR]`: the runs in a directory, newest first, with their verdicts and figures.

sut runs runs --json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foundation.foreign_text import printable
from foundation.people_numbers import figure
from sut.record import figures
from sut.reporting import found_runs, headline
from sut.reporting.found_runs import FoundRun
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import RUNS


def main(argv: Sequence[str]) -> int:
    """Print the list.

    Raises:
        UsageError: there is no such directory.
    """
    options = parser().read(argv)
    found = found_runs.below(options.directory)
    if options.json:
        print(json.dumps([content(run) for run in found.runs], indent=2))
    elif found.runs:
        _print(found.runs, options.directory)
    else:
        print(f"no runs in {options.directory}", file=sys.stderr)
    for text in found.unreadable:
        print(f"note: {printable(text)}", file=sys.stderr)
    return 0


def parser() -> Parser:
    """The command line of `runs`."""
    found = new_parser("runs", "Exit code: 0. A run that was killed, or is still running, is unfinished.")
    found.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=RUNS,
        metavar="DIR",
        help=f"where they are, or in directories of it (default: {RUNS})",
    )
    found.add_argument("--json", action="store_true", help="JSON instead of a table")
    return found


def content(run: FoundRun) -> dict[str, Any]:
    """A run as JSON."""
    record, config = run.record, run.record.config
    return {
        "directory": str(run.directory),
        "time": datetime.fromtimestamp(run.when_unix_s, UTC).isoformat(timespec="seconds"),
        "verdict": record.verdict,
        "submittable": record.submittable,
        "trial": config.is_trial,
        "random_weights": record.random_weights,
        "task": config.task,
        "scenario": config.scenario,
        "mode": config.mode,
        "model": config.model,
        "backend": config.backend,
        "precision": record.effective_precision,
        "instances": record.instances,
        "figures": figures.of(record),
        "reasons": list(record.reasons),
        "notices": list(record.notices),
    }


def _print(runs: Iterable[FoundRun], top: Path) -> None:
    from rich.table import Table

    from foundation import terminal

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("verdict", "result", "what"):
        table.add_column(name, overflow="fold")
    table.add_column("run", overflow="fold", min_width=16)
    for run in runs:
        table.add_row(*_cells(run, top))
    terminal.console().print(table)


def _cells(run: FoundRun, top: Path) -> list[str]:
    """Two lines a cell, so that all of it fits 80 columns."""
    record, config = run.record, run.record.config
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.when_unix_s))
    result = [str(headline.of(record) or "no result"), *headline.marks(record)]
    if config.mode != "accuracy" and record.progress and record.performance and record.performance.unit == "ms":
        result.insert(1, f"{figure(record.progress.samples_per_s or 0)} samples/s")
    what = [f"{config.scenario} {config.mode}", f"{config.backend} {record.effective_precision}"]
    where = run.directory.relative_to(top)
    return ["\n".join(lines) for lines in ([record.verdict, when], result, what, [str(where)])]
