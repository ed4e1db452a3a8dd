"""What is seen of a fetch, on standard error: one live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

_EVERY_S = 10.0  # between two lines where there is no terminal


class Display:
    """A context manager; `at` may be called as often as bytes come."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(), console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", visible=False)
        self._what = ""
        self._next_line_s = 0.0

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, what: str, have: int = 0, total: int | None = None) -> None:
        """`what` is under way, and `have` of it was there before."""
        self._what, self._next_line_s = what, time.monotonic() + _EVERY_S
        self._bar.reset(self._task, description=what, total=total, completed=have, visible=True)

    def at(self, have: int, total: int | None) -> None:
        self._bar.update(self._task, completed=have, total=total)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _EVERY_S
            of = f" of {total:,}" if total else ""
            print(f"{self._what}: {have:,}{of} bytes", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A line that stays, above the bar."""
        self._console.print(line, soft_wrap=True)
