"""`python -m sut kpi RUN…`: prints the figures of runs as KPI lines, CSV or a workbook.

    # heading or remark     ## setting: value     figure (unit): value     *primary figure (unit): value  # what it is

The decimal separator is a point in every locale. Several runs are printed one after the other as lines, and side by
side as columns in a table.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation.people_numbers import count
from sut.commands.kpi.figures import KILLED, Kpi, KpiReport, report
from sut.errors import UsageError
from sut.record import run_record
from sut.settings.parser import Parser, new_parser

_FORMATS = ("list", "csv", "xlsx")
_COLUMNS = ("section", "name", "unit", "primary")
Table = list[list[str | float | int]]


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
        _write(options.output, content)
        print(f"{count(len(reports), 'run')} in {options.output}", file=sys.stderr)
    return 0


def parser() -> Parser:
    """The command line of `kpi`."""
    found = new_parser("kpi")
    found.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's log directory, or its run.json")
    found.add_argument("--primary", action="store_true", help="only the primary figure")
    found.add_argument("--format", choices=_FORMATS, default="list", help="lines (default), or one column per run")
    found.add_argument("--output", type=Path, metavar="FILE", help="write to this file (required for xlsx)")
    return found


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"expected to write {path}, found: {error}. Type another --output.") from error


def _content(form: str, reports: dict[str, KpiReport], primary: bool) -> bytes:
    if form == "list":
        return _encoded("\n".join(_lines(run, found, primary) for run, found in reports.items()))
    rows = _table(reports, primary)
    return _csv(rows) if form == "csv" else _workbook(rows)


def _lines(run: str, found: KpiReport, primary: bool) -> str:
    lines = [f"# {run}", *(f"#{remark}" if remark == KILLED else f"# {remark}" for remark in found.remarks)]
    for section, kpis in found.sections.items():
        chosen = [one for one in kpis if one.is_primary or not primary]
        lines += [f"# {section}"] * bool(chosen) + [line(one) for one in chosen]
    return "\n".join(lines) + "\n"


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


def _csv(rows: Table) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return _encoded(text.getvalue())


def _encoded(text: str) -> bytes:
    """UTF-8; bytes of a path that are not become \\udcNN."""
    return text.encode("utf-8", "backslashreplace")


def _workbook(rows: Table) -> bytes:
    from openpyxl import Workbook
    from openpyxl.styles import Font

    book = Workbook()
    sheet = book.active
    sheet.title = "KPI"
    for row in rows:
        sheet.append(row)
        if row[3]:
            for cell in sheet[sheet.max_row]:
                cell.font = Font(bold=True)
    sheet.freeze_panes = "E2"
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
