"""`python -m sut report RUN…|DIR`: a page on one run, or on several side by side: one HTML file without network access.

sut report runs/before runs/after --output compared.html
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from foundation import atomic_write
from foundation.foreign_text import printable
from foundation.people_numbers import count
from sut.errors import UsageError
from sut.record import figures, run_record
from sut.reporting import differences, found_runs
from sut.reporting.found_runs import FoundRun
from sut.settings.parser import Parser, new_parser

_FORMATS = ("html", "md", "json")
_NAME = "report.html"
_MOST = 6  # runs side by side
_LISTED = 500
_MORE = """RUN is a run's log directory, or its run.json; DIR is a directory with runs, such as that of a sweep or of a
submission. Of more than six runs, a page has a list of all and the fastest valid ones side by side. A run that was
killed or failed is shown with what is known. Exit code: 0."""


def main(argv: Sequence[str]) -> int:
    """Write the report.

    Raises:
        UsageError: there is no run, or the file cannot be written.
    """
    options = parser().read(argv)
    runs = list(_unique(run for path in options.runs for run in _runs(path)))
    shown = runs if len(runs) <= _MOST else _fastest(runs)
    text = _text(options.format, shown, runs)
    if options.output is None and options.format != "html":
        print(text, end="")
        return 0
    path = options.output or Path(_NAME)
    _write(path, text, runs)
    print(f"{count(len(shown), 'run')} in {printable(str(path))}", file=sys.stderr)
    return 0


def parser() -> Parser:
    """The command line of `report`."""
    found = new_parser("report", _MORE)
    found.add_argument("runs", nargs="+", type=Path, metavar="RUN|DIR", help="a run, or a directory with runs")
    found.add_argument("--format", choices=_FORMATS, default="html", help="html (default), Markdown or JSON")
    found.add_argument(
        "--output", type=Path, metavar="FILE", help=f"write to this file (default: {_NAME}; md and json are printed)"
    )
    return found


def _runs(path: Path) -> list[FoundRun]:
    """The run at a path, or the runs below it, the oldest first."""
    if run_record.path_of(path).exists() or not path.is_dir():
        record = run_record.read(path)
        return [FoundRun(path if path.is_dir() else path.parent, record)]
    found = found_runs.below(path)
    for text in found.unreadable:
        print(f"note: {printable(text)}", file=sys.stderr)
    if not found.runs:
        raise UsageError(
            f"expected runs in {path}, found no run.json that can be read there or below. Type a run's log directory, "
            "or the --output-dir of a sweep or of submit; a packed submission has LoadGen's logs only: "
            "see python -m sut show."
        )
    return list(reversed(found.runs))


def _unique(runs: Iterator[FoundRun]) -> Iterator[FoundRun]:
    seen = set()
    for run in runs:
        place = os.path.realpath(run.directory)
        if place not in seen:
            seen.add(place)
            yield run


def _fastest(runs: Sequence[FoundRun]) -> list[FoundRun]:
    """The valid runs with the most samples a second, in the order of `runs`."""

    def rank(run: FoundRun) -> tuple[bool, float]:
        is_good = run.record.verdict in ("VALID", "PASS", "SCORED", "PEAK")
        return is_good, figures.of(run.record).get("samples_per_s", 0.0)

    chosen = sorted(runs, key=rank, reverse=True)[:_MOST]
    return [run for run in runs if run in chosen]


def _text(kind: str, shown: Sequence[FoundRun], runs: Sequence[FoundRun]) -> str:
    if kind == "json":
        return json.dumps(content(runs), indent=2) + "\n"
    from sut.reporting import markdown, page, report

    everything = runs[:_LISTED] if len(runs) > len(shown) else ()
    found = report.of(shown, everything)
    return markdown.markdown(found) if kind == "md" else page.html(found)


def content(runs: Sequence[FoundRun]) -> dict[str, Any]:
    """The runs as JSON: each with its run.json and its figures, and what differs."""
    from foundation.typed_json import encode

    return {
        "runs": [
            {"directory": str(run.directory), "figures": figures.of(run.record), "record": encode(run.record)}
            for run in runs
        ],
        "differing": differences.that_differ([run.record for run in runs]),
    }


def _write(path: Path, text: str, runs: Sequence[FoundRun]) -> None:
    if os.path.realpath(path) in [os.path.realpath(run_record.path_of(run.directory)) for run in runs]:
        raise UsageError(f"found {path} as --output, which is the record of a run. Type another --output.")
    try:
        atomic_write.write_text(path, text)
    except OSError as error:
        raise UsageError(f"expected to write {path}, found: {error}. Type another --output.") from error
