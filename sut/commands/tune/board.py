"""What a tuning shows while it runs: a live table on a terminal, otherwise a line for each trial."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from foundation import tables, terminal
from foundation.foreign_text import printable
from foundation.people_numbers import clock, figure
from sut.commands.tune import accuracy, table
from sut.commands.tune.trials import TrialRow


class Board:
    """Shows the trials inside its `with` block."""

    def __init__(self, unit: str, budget_s: float) -> None:
        self._unit, self._budget_s = unit, budget_s
        self._console = terminal.console(stderr=True)
        self._label, self._since_s, self._rows = "", time.monotonic(), list[TrialRow]()
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._live.stop()

    def start(self, label: str) -> None:
        """A run begins."""
        self._label, self._since_s = label, time.monotonic()

    def end(self, row: TrialRow) -> None:
        """A run has ended, or its row was there already."""
        self._rows.append(row)
        if not self._console.is_terminal:
            used = f"{clock(self._used_s)} of {clock(self._budget_s)}"
            print(printable(f"{self._label}: {self._outcome(row)}, {used}"), file=sys.stderr, flush=True)

    @property
    def _used_s(self) -> float:
        return sum(row.wall_s for row in self._rows)

    def _outcome(self, row: TrialRow) -> str:
        if row.error:
            return row.error
        if row.kind == "accuracy":
            return accuracy.text(row) or row.verdict
        unit = "samples/s" if row.kind == "screen" else self._unit
        return "no figure" if row.speed is None else f"{figure(table.value_of(row.speed, unit))} {unit}"

    def _render(self) -> RenderableType:
        now_s = time.monotonic() - self._since_s
        line = f"{clock(self._used_s + now_s)} of {clock(self._budget_s)}: {self._label}, {clock(now_s)}"
        made = table.columns(table.standings(self._rows), self._unit, accuracy.texts(self._rows))
        parts = tables.fitted(made.headings, made.rows, made.numbers, stderr=True)
        return Group(Text(line, style="dim"), *parts)  # a low terminal cuts the slowest
