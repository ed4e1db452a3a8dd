"""`python -m sut report RUN…|DIR`: a page on one run, or on several side by side: one HTML file without network access.

sut report runs/before runs/after --output compared.html
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends.bert.architectures import Geometry
from foundation import atomic_write, installation
from foundation.foreign_text import printable
from foundation.people_numbers import count
from sut.errors import UsageError
from sut.fetch.resolve import cache_dir as cache_of
from sut.record import figures, machine_limit, run_record
from sut.record.machine_limit import Key, MachineLimit
from sut.reporting import differences, found_runs
from sut.reporting.found_runs import FoundRun
from sut.settings.parser import Parser, new_parser

_FORMATS = ("html", "md", "json")
_NAME = "report.html"
_MOST = 6  # runs side by side
_LISTED = 500
_MORE = """RUN is a run's log directory, or its run.json; DIR is a directory with runs, such as that of a sweep or of a
submission. Of more than six runs, a page has a list of all and six side by side: the fastest valid one of each scenario
and mode, then of each configuration. A run that was
killed or failed is shown with what is known. Exit code: 0."""


def main(argv: Sequence[str]) -> int:
    """Write the report.

    Raises:
        UsageError: there is no run, or the file cannot be written.
    """
    options = parser().read(argv)
    runs = _with_limits(list(_unique(run for path in options.runs for run in _runs(path))), options.measure_limit)
    shown = runs if len(runs) <= _MOST else _chosen(runs)
    text = _text(options.format, shown, runs)
    if options.output is None and options.format != "html":
        print(text, end="")
        return 0
    path = options.output or Path(_NAME)
    _write(path, text, runs)
    number = count(len(shown), "run") if len(shown) == len(runs) else f"{len(shown)} of {len(runs):,} runs"
    print(f"{number} in {printable(str(path))}", file=sys.stderr)
    return 0


def parser() -> Parser:
    """The command line of `report`."""
    found = new_parser("report", _MORE)
    found.add_argument("runs", nargs="+", type=Path, metavar="RUN|DIR", help="a run, or a directory with runs")
    found.add_argument("--format", choices=_FORMATS, default="html", help="html (default), Markdown or JSON")
    found.add_argument(
        "--output", type=Path, metavar="FILE", help=f"write to this file (default: {_NAME}; md and json are printed)"
    )
    found.add_argument(
        "--measure-limit",
        action="store_true",
        help="measure what this machine can compute, for the roofline: some ten seconds for each precision; kept in "
        "the cache",
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


def _with_limits(runs: Sequence[FoundRun], is_measured: bool) -> list[FoundRun]:
    """The runs, each with the limit of its machine.

    Args:
        is_measured: measure the limits of runs of this machine now; otherwise only those that were measured are known.

    Raises:
        UsageError: PyTorch, which measures, is not installed.
        RunFailedError: a limit cannot be kept.
    """
    known: dict[tuple[Key, Path], MachineLimit | None] = {}

    def limit(run: FoundRun) -> MachineLimit | None:
        key, geometry, cache_dir = machine_limit.key(run.record), run.record.geometry, cache_of(run.record.config)
        if key is None or geometry is None:
            return None
        if (key, cache_dir) not in known:
            measures = is_measured and machine_limit.is_of_this_machine(key)
            known[key, cache_dir] = (
                _measured(key, geometry, cache_dir) if measures else machine_limit.read(key, cache_dir)
            )
        return known[key, cache_dir]

    return [replace(run, limit=limit(run)) for run in runs]


def _measured(key: Key, geometry: Geometry, cache_dir: Path) -> MachineLimit:
    print(f"measuring this machine's limit for {key.products}: some ten seconds", file=sys.stderr, flush=True)
    found = machine_limit.measure(key, geometry, cache_dir)
    if found is None:
        raise UsageError(
            f"expected PyTorch, which --measure-limit measures with, found it not installed. "
            f"Type: {installation.command('pytorch')}"
        )
    return found


def _chosen(runs: Sequence[FoundRun]) -> list[FoundRun]:
    """A few of many runs, in the order of `runs`: the fastest valid one of each scenario and mode, then of each
    configuration, then the next ones."""

    def rank(run: FoundRun) -> tuple[bool, bool, float]:
        record = run.record
        is_good = record.verdict in ("VALID", "PASS", "SCORED", "PEAK")
        return is_good, not record.config.is_trial, figures.of(record).get("samples_per_s", 0.0)

    ranked, chosen = sorted(runs, key=rank, reverse=True), list[FoundRun]()
    for kind in (_test, _configuration, _place):
        for run in ranked:
            if len(chosen) < _MOST and kind(run) not in [kind(one) for one in chosen]:
                chosen.append(run)
    places = [_place(run) for run in chosen]
    return [run for run in runs if _place(run) in places]


def _test(run: FoundRun) -> object:
    return run.record.config.scenario, run.record.config.mode


def _configuration(run: FoundRun) -> object:
    return replace(run.record.config, log_dir=None)


def _place(run: FoundRun) -> object:
    return run.directory


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
            {
                "directory": str(run.directory),
                "figures": figures.of(run.record),
                "limit": encode(run.limit) if run.limit else None,
                "record": encode(run.record),
            }
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
