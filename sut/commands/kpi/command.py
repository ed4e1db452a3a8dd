"""`python -m sut kpi RUN…`: prints the figures of runs as KPI lines, CSV or a workbook.

    # heading or remark     ## setting: value     figure (unit): value     *primary figure (unit): value  # what it is

The decimal separator is a point in every locale. Several runs are printed one after the other as lines, and side by
side as columns in a table.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation import atomic_write
from foundation.foreign_text import Cell, csv_text, printable, workbook
from foundation.people_numbers import count
from sut.commands.kpi.figures import KILLED, Kpi, KpiReport, report
from sut.errors import UsageError
from sut.record import run_record
from sut.settings.parser import Parser, new_parser

_FORMATS = ("list", "csv", "xlsx")
_COLUMNS = ("section", "name", "unit", "primary")
Table = list[list[Cell]]


def main(argv: Sequence[str]) -> int:
    """Print or write the figures of the runs.

    Raises:
        UsageError: one of them is not a run, or the file cannot be written.
    """
    options = parser().read(argv)
    if options.format == "xlsx" and options.output is None:
        raise UsageError("expected --output FILE.xlsx with --format xlsx, found none. Type: --output FILE.xlsx.")
    reports = {str(run): report(run_record.read(run)) for run in options.runs}
    content = _content(options.format, reports, options.primary)
    if options.output is None:
        print(content.decode(), end="")
    else:
        replaced = _write(options.output, content, options.runs)
        where = f"{options.output}, which replaced an earlier file" if replaced else f"{options.output}"
        print(f"{count(len(reports), 'run')} in {where}", file=sys.stderr)
    return 0


def parser() -> Parser:
    """The command line of `kpi`."""
    found = new_parser("kpi")
    found.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's log directory, or its run.json")
    found.add_argument("--primary", action="store_true", help="only the primary figure")
    found.add_argument("--format", choices=_FORMATS, default="list", help="lines (default), or one column per run")
    found.add_argument("--output", type=Path, metavar="FILE", help="write to this file (required for xlsx)")
    return found


def _write(path: Path, content: bytes, runs: Sequence[Path]) -> bool:
    """Write the file; whether there was one before. Raises UsageError."""
    if os.path.realpath(path) in [os.path.realpath(run_record.path_of(run)) for run in runs]:
        raise UsageError(f"found {path} as --output, which is the record of a run. Type another --output.")
    replaced = path.is_file()
    try:
        atomic_write.write_bytes(path, content)
    except OSError as error:
        raise UsageError(f"expected to write {path}, found: {error}. Type another --output.") from error
    return replaced


def _content(form: str, reports: dict[str, KpiReport], primary: bool) -> bytes:
    if form == "list":
        return "\n".join(_lines(run, found, primary) for run, found in reports.items()).encode()
    rows = _table(reports, primary)
    if form == "csv":
        return csv_text(rows).encode(errors="backslashreplace")
    return workbook("KPI", rows, bold=[number for number, row in enumerate(rows, 1) if row[3]], freeze="E2")


def _lines(run: str, found: KpiReport, primary: bool) -> str:
    lines = [f"# {run}", *(f"#{remark}" if remark == KILLED else f"# {remark}" for remark in found.remarks)]
    for section, kpis in found.sections.items():
        chosen = [one for one in kpis if one.is_primary or not primary]
        lines += [f"# {section}"] * bool(chosen) + [line(one) for one in chosen]
    return "".join(f"{printable(one)}\n" for one in lines)


def line(one: Kpi) -> str:
    """The KPI line of a figure."""
    if one.is_tunable:
        return f"## {one.name}: {one.value}"
    unit = f" ({one.unit})" if one.unit else ""
    tooltip = f"  # {one.tooltip}" if one.tooltip else ""
    return f"{'*' * one.is_primary}{one.name}{unit}: {_number(one.value)}{tooltip}"


def _number(value: str | float | int) -> str:
    """A value as text, without an exponent, which some readers of such lines do not parse."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _table(reports: dict[str, KpiReport], primary: bool) -> Table:
    """A header, a row of remarks, then a row for each figure of any run; "" if a run does not have it."""
    rows: dict[tuple[str, str, str], list[str | float | int]] = {}
    marked: set[tuple[str, str, str]] = set()
    for column, found in enumerate(reports.values()):
        for section, kpis in found.sections.items():
            for one in kpis:
                key = (section, one.name, one.unit)
                rows.setdefault(key, [""] * len(reports))[column] = one.value
                marked |= {key} if one.is_primary else set()
    remarks: Table = [["Remarks", "remarks", "", "", *("; ".join(found.remarks) for found in reports.values())]]
    chosen: Table = [
        [*key, "*" * (key in marked), *values] for key, values in rows.items() if key in marked or not primary
    ]
    return [[*_COLUMNS, *reports], *remarks, *chosen]
