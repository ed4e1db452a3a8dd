"""The progress of a run on standard error: a live line on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn

from foundation import terminal
from foundation.people_numbers import clock
from sut.queries.loadgen import Plan
from sut.queries.scheduler import QueryCounters

_EVERY_S = 10.0  # between two lines without a terminal


class ProgressLine:
    """Shows progress inside its `with` block; `update` may be called at any rate."""

    def __init__(self, plan: Plan, counters: QueryCounters, total: int | None) -> None:
        """`total`: the run ends after this many samples; None: by the plan's duration and query count."""
        self._plan, self._counters, self._total = plan, counters, total
        self._console = terminal.console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}", markup=False),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("running", total=1.0, text="")
        self._next_line_s = time.perf_counter() + _EVERY_S

    def __enter__(self) -> ProgressLine:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def update(self) -> None:
        counters = self._counters
        if not counters.first_issue_s:
            return
        elapsed_s = time.perf_counter() - counters.first_issue_s
        rate = counters.completed / elapsed_s if elapsed_s else 0.0
        left_s = self._left_s(elapsed_s, rate)
        left = "" if left_s is None else f", about {clock(left_s)} left"
        text = f"{counters.completed} samples, {rate:.1f} samples/s, {clock(elapsed_s)}{left}"
        share = 0.0 if left_s is None else elapsed_s / max(elapsed_s + left_s, 1e-9)
        self._bar.update(self._task, completed=share, text=text)
        self._line(text)

    def _left_s(self, elapsed_s: float, rate: float) -> float | None:
        if not rate:
            return None
        if self._total:  # every sample once, without a minimum duration
            return max((self._total - self._counters.completed) / rate, 0.0)
        total = max(self._counters.issued, self._plan.min_query_count * self._plan.samples_per_query)
        return max((total - self._counters.completed) / rate, self._plan.min_duration_s - elapsed_s, 0.0)

    def _line(self, text: str) -> None:
        if not self._console.is_terminal and time.perf_counter() >= self._next_line_s:
            self._next_line_s += _EVERY_S
            print(text, file=sys.stderr, flush=True)
