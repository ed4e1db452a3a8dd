"""The progress of a fetch on standard error: a live bar on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from foundation import terminal
from foundation.foreign_text import printable, without_secrets

_EVERY_S = 10.0  # between two lines without a terminal


class Display:
    """Shows progress inside its `with` block; `at` may be called for every read."""

    def __init__(self) -> None:
        self._console = terminal.console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
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
        """Start to show `what`, of which `have` bytes already exist."""
        what = printable(what)  # rich's live display does not pass through the console's own escaping
        self._what, self._next_line_s = what, time.monotonic() + _EVERY_S
        self._bar.reset(self._task, description=what, total=total, completed=have, visible=True)

    def at(self, have: int, total: int | None) -> None:
        self._bar.update(self._task, completed=have, total=total)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _EVERY_S
            of = f" of {total:,}" if total else ""
            print(f"{self._what}: {have:,}{of} bytes", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Print a line above the bar; secrets in URLs are not shown."""
        self._console.print(without_secrets(line), soft_wrap=True)
