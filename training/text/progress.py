"""The progress of parts on standard error: a live line on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time

from rich.progress import BarColumn, Progress, TextColumn

from foundation import terminal
from foundation.people_numbers import clock, count

_EVERY_S = 10.0  # between two lines without a terminal


class PartsProgress:
    """Shows progress inside its `with` block; the time that is left follows from the bytes of text."""

    def __init__(self) -> None:
        self._console = terminal.console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}", markup=False),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=1.0, text="", visible=False)
        self._what, self._jobs, self._done, self._bytes, self._total = "", 0, 0, 0, 1
        self._started = self._next_line_s = 0.0

    def __enter__(self) -> PartsProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, what: str, jobs: int, total: int) -> None:
        """Start to show `jobs` jobs of `total` bytes."""
        self._what, self._jobs, self._done, self._bytes, self._total = what, jobs, 0, 0, max(total, 1)
        self._started = time.monotonic()
        self._next_line_s = self._started + _EVERY_S
        self._bar.reset(self._task, description=what, total=self._total, visible=True, text="")

    def done(self, size: int) -> None:
        """A job of this many bytes is done."""
        self._done, self._bytes = self._done + 1, self._bytes + size
        elapsed_s = time.monotonic() - self._started
        left_s = elapsed_s * (self._total - self._bytes) / max(self._bytes, 1)
        text = f"{self._done:,} of {count(self._jobs, 'part')}, about {clock(max(left_s, 0))} left"
        self._bar.update(self._task, completed=self._bytes, text=text)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _EVERY_S
            print(f"{self._what}: {text}", file=sys.stderr, flush=True)
