"""The output of a replay: a line for each difference, and a table of both results."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from foundation import people_numbers, terminal
from sut.record import figures
from sut.record.figures import label
from sut.record.run_record import RunRecord
from sut.reporting.differences import Difference

_TIMES = 3.0  # from here on a ratio is no percentage


def show_differences(found: Sequence[Difference], among: Sequence[str]) -> None:
    """Print the differences; `among` are the sections that were compared."""
    console = terminal.console()
    if not found:
        console.print(f"no differences in {', '.join(among)}", soft_wrap=True)
        return
    console.print(f"differences in {', '.join(among)}:", soft_wrap=True)
    for one in found:
        console.print(f"  {one.name}: {_text(one.then)} → {_text(one.now)}", soft_wrap=True)


def show_figures(then: RunRecord, now: RunRecord, headings: tuple[str, str] = ("then", "now")) -> None:
    """Print both verdicts and every figure of both runs, with the difference."""
    table = Table("", *headings, "difference", box=None, padding=(0, 2, 0, 0))
    table.add_row("verdict", then.verdict, now.verdict, "")
    for name, before, after in _compared(then, now):
        table.add_row(label(name), _number(before), _number(after), _change(before, after))
    terminal.console().print(table)


def _compared(then: RunRecord, now: RunRecord) -> list[tuple[str, float | None, float | None]]:
    """(figure, then, now) of every figure of either record."""
    before, after = figures.of(then), figures.of(now)
    return [(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])]


def _text(value: object) -> str:
    return "missing" if value is None else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else people_numbers.figure(value)


def _change(before: float | None, after: float | None) -> str:
    if before == after:
        return "same"
    if not before or not after:
        return "–"
    ratio = after / before
    if ratio >= _TIMES:
        return f"{people_numbers.figure(ratio)} times"
    return f"{ratio - 1:+.1%}" if ratio > 1 / _TIMES else f"1/{people_numbers.figure(1 / ratio)}"
