"""What a replay prints: a line for everything that differs, and a table of both results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from sut.record import figures
from sut.record.figures import label, number


def show_differences(found: Mapping[str, tuple[Any, Any]], among: Sequence[str]) -> None:
    """A line for each; `among` are the sections of both run.json that were compared."""
    console = Console(highlight=False, markup=False)
    if not found:
        console.print(f"nothing differs in what was compared: {', '.join(among)}", soft_wrap=True)
        return
    console.print(f"what differs ({', '.join(among)} compared):", soft_wrap=True)
    for name, (then, now) in found.items():
        console.print(f"  {name}: {_said(then)} → {_said(now)}", soft_wrap=True)


def show_figures(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    table = Table("", "then", "now", "difference", box=None, padding=(0, 2, 0, 0))
    table.add_row("verdict", str(then.get("verdict")), str(now.get("verdict")), "")
    for name, before, after in _compared(then, now):
        table.add_row(label(name), _number(before), _number(after), _change(before, after))
    Console(highlight=False).print(table)


def _compared(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, float | None, float | None]]:
    """(figure, then, now) of every figure that one of two run.json has."""
    before, after = figures.of(then), figures.of(now)
    return [(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])]


def _said(value: Any) -> str:
    return "not there" if value is None else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else number(value)


def _change(before: float | None, after: float | None) -> str:
    if before == after:
        return "same"
    return "–" if not before or after is None else f"{(after - before) / before:+.1%}"
