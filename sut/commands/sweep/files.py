"""summary.csv and summary.md: the summary of a sweep for a spreadsheet, and its table for a report."""

from __future__ import annotations

from collections.abc import Sequence

from foundation.foreign_text import Cell, csv_text, printable
from sut.commands.sweep.best import Best
from sut.commands.sweep.grid import Axis
from sut.commands.sweep.summary import PointSummary
from sut.commands.sweep.table import Columns

CSV, MARKDOWN = "summary.csv", "summary.md"


def as_csv(summaries: Sequence[PointSummary], axes: Sequence[Axis], found: Best | None) -> str:
    """A row for each point, with all its figures as numbers."""
    names = list(dict.fromkeys(name for one in summaries for name in one.figures))
    parts = ("median", "lowest", "highest", "mean", "ci95_low", "ci95_high")
    headings = [*(axis.field for axis in axes), "runs", "failures", "verdicts", "best"]
    rows: list[list[Cell]] = [[*headings, *(f"{name} {part}" for name in names for part in parts)]]
    for one in summaries:
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in one.verdicts.items())
        is_best = int(found is not None and one is found.point)
        figures = [cell for name in names for cell in _cells(one, name)]
        rows.append([*one.point.values(), one.runs, one.failures, verdicts, is_best, *figures])
    return csv_text(rows)


def _cells(one: PointSummary, name: str) -> list[Cell]:
    found = one.figures.get(name)
    if found is None:
        return [None] * 6
    return [found.median, found.lowest, found.highest, found.mean, *(found.mean_95 or (None, None))]


def as_markdown(heading: str, table: Columns, lines: Sequence[str]) -> str:
    """The heading, the table and the lines below it."""
    rule = ["---:" if name in table.numbers else "---" for name in table.headings]
    rows = [_row(one) for one in (table.headings, rule, *table.rows)]
    below = [f"* {printable(line)}" for line in (table.about, *lines)]
    return "\n".join([f"# {printable(heading)}", "", *rows, "", *below]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(printable(cell.replace(chr(10), ' ')).replace('|', chr(92) + '|') for cell in cells)} |"
